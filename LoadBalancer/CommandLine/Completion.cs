using System.CommandLine;

namespace LoadBalancer.CommandLine;

/// <summary>The command <c>completion</c>: a script that makes a shell complete the program's commands and options.</summary>
internal static class Completion
{
    private const string Bash = """
        _loadbalancer() {
          local IFS=$'\n'
          COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" "[suggest:$COMP_POINT]" "$COMP_LINE" 2> /dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
        }
        complete -o default -F _loadbalancer LoadBalancer loadbalancer
        """;

    private const string Zsh = """
        #compdef LoadBalancer loadbalancer
        _loadbalancer() {
          local -a suggestions
          suggestions=("${(@f)$("${words[1]}" "[suggest:$CURSOR]" "$BUFFER" 2> /dev/null)}")
          compadd -- $suggestions
        }
        compdef _loadbalancer LoadBalancer loadbalancer
        """;

    private const string Pwsh = """
        Register-ArgumentCompleter -Native -CommandName LoadBalancer, loadbalancer -ScriptBlock {
          param($word, $line, $cursor)
          & "$($line.CommandElements[0])" "[suggest:$cursor]" "$line" | ForEach-Object {
            [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
          }
        }
        """;

    /// <summary>Makes the command.</summary>
    public static Command New()
    {
        var shell = new Argument<string>("SHELL") { Description = "bash, zsh or pwsh." };
        shell.AcceptOnlyFromAmong("bash", "zsh", "pwsh");
        var command = new Command(
            "completion", "Print a script for a shell that completes commands and options: source <(LoadBalancer completion bash)")
        {
            shell,
        };
        command.SetAction(options => Console.WriteLine(options.GetValue(shell) switch { "bash" => Bash, "zsh" => Zsh, _ => Pwsh }));
        return command;
    }
}
