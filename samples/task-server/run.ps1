# Builds and starts two task servers and the load balancer in front of them, runs two clients, and stops everything when they are done, or
# on Ctrl+C. The exit code is 0 if every answer was as expected and no task was lost. For Windows PowerShell 5.1 and PowerShell 7.
#
#   ./run.ps1 [--keep] [CLIENT OPTION...]    --keep: everything goes on when the clients are done
#                                            --requests 20000 --concurrency 50: what each client sends
Set-Location $PSScriptRoot
. ../programs.ps1

$keep = $args -contains '--keep'
$options = @($args | Where-Object { $_ -ne '--keep' })

Assert-Free 5001, 5002, 8080
Build-Programs 'TaskServer', 'ClientEmulator', '../../LoadBalancer'

$done = $false
try {
    $server1 = Start-Program 'server1' 'TaskServer' '--urls http://127.0.0.1:5001'
    Start-Program 'server2' 'TaskServer' '--urls http://127.0.0.1:5002' | Out-Null
    # The access log goes to a file: a line for each request would hide everything else.
    $settings = '--LoadBalancer:Listeners:web:AccessLog=access.log'
    $balancer = Start-Program 'loadbalancer' '../../LoadBalancer' "--config loadbalancer.json $settings"

    # The first client has the terminal, for its progress line. The output of the second is printed at its end.
    $client2 = New-Program 'ClientEmulator' "--name client2 $options"
    $client2.Start() | Out-Null
    $processes.Add($client2) | Out-Null
    $output = $client2.StandardOutput.ReadToEndAsync()
    dotnet ClientEmulator/bin/Release/net10.0/ClientEmulator.dll --name client1 @options
    $result = $LASTEXITCODE
    $client2.WaitForExit()
    Write-Host $output.Result.TrimEnd()
    if ($client2.ExitCode -ne 0) { $result = 1 }

    if ($keep) {
        Write-Host @"
Try:  curl.exe http://127.0.0.1:8080/tareas           all tasks
      curl.exe http://127.0.0.1:8080/health           which servers are up
      curl.exe http://127.0.0.1:5001/errors/stats     the requests that server1 has refused
      $("Stop-Process $($server1.Id)".PadRight(48))stops server1
Ctrl+C stops everything.
"@
        Wait-Program $balancer
    }
    $done = $true
    exit $result
}
finally {
    Stop-Programs $done
}
