# Builds once, starts two task servers and the load balancer in front of them, lets two clients work, and stops everything when they
# are done, or on Ctrl+C. The exit code is 0 where every answer was the one that was to come and no task was lost. For Windows
# PowerShell 5.1 and PowerShell 7.
#
#   ./run.ps1 [--keep] [OPTION OF THE CLIENTS...]    --keep: goes on when the clients are done
#                                                    --requests 20000 --concurrency 50: what each of them sends
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

$keep = $args -contains '--keep'
$options = @($args | Where-Object { $_ -ne '--keep' })
$processes = @()
$done = $false

function New-Process($project, $arguments) {
    $process = New-Object System.Diagnostics.Process
    $process.StartInfo.FileName = 'dotnet'
    $process.StartInfo.Arguments = '"' + (Join-Path $PSScriptRoot "$project/bin/Release/net10.0/$(Split-Path $project -Leaf).dll") + '" ' + $arguments
    $process.StartInfo.WorkingDirectory = $PSScriptRoot
    $process.StartInfo.UseShellExecute = $false
    $process.StartInfo.RedirectStandardOutput = $true
    $process
}

function Start-Program($name, $project, $arguments) {
    $process = New-Process $project $arguments
    $process.StartInfo.RedirectStandardError = $true
    $print = { if ($null -ne $EventArgs.Data) { Write-Host "[$($Event.MessageData)] $($EventArgs.Data)" } }
    Register-ObjectEvent -InputObject $process -EventName OutputDataReceived -MessageData $name -Action $print | Out-Null
    Register-ObjectEvent -InputObject $process -EventName ErrorDataReceived -MessageData $name -Action $print | Out-Null
    $process.Start() | Out-Null
    $process.BeginOutputReadLine()
    $process.BeginErrorReadLine()
    $process
}

foreach ($port in 5001, 5002, 8080) {
    $probe = New-Object System.Net.Sockets.TcpClient
    try { $probe.Connect('127.0.0.1', $port) } catch { continue } finally { $probe.Dispose() }
    Write-Host "port $port is taken by another program"
    exit 1
}

foreach ($project in 'TaskServer', 'ClientEmulator', '../../LoadBalancer') {
    Write-Host "building $(Split-Path $project -Leaf)"
    $output = dotnet build $project --configuration Release
    if ($LASTEXITCODE -ne 0) { $output; exit 1 }
}

try {
    $server1 = Start-Program 'server1' 'TaskServer' '--urls http://127.0.0.1:5001'
    $processes += $server1
    $processes += Start-Program 'server2' 'TaskServer' '--urls http://127.0.0.1:5002'
    # A line for each request would bury all else.
    $balancer = Start-Program 'loadbalancer' '../../LoadBalancer' '--config loadbalancer.json --LoadBalancer:Listeners:web:AccessLog=access.log'
    $processes += $balancer

    # The terminal is the first client's, for its progress line; what the second has to say can wait.
    $client2 = New-Process 'ClientEmulator' "--name client2 $options"
    $client2.Start() | Out-Null
    $processes += $client2
    $said = $client2.StandardOutput.ReadToEndAsync()
    dotnet ClientEmulator/bin/Release/net10.0/ClientEmulator.dll --name client1 @options
    $result = $LASTEXITCODE
    $client2.WaitForExit()
    Write-Host $said.Result.TrimEnd()
    if ($client2.ExitCode -ne 0) { $result = 1 }

    if ($keep) {
        Write-Host @"
Try:  curl.exe http://127.0.0.1:8080/tareas           all tasks
      curl.exe http://127.0.0.1:8080/health           who is well
      curl.exe http://127.0.0.1:5001/errors/stats     what server1 refused
      Stop-Process $($server1.Id)                     stops server1
Ctrl+C stops everything.
"@
        # Waiting for an event that never comes lets the programs' output be printed meanwhile.
        while (-not $balancer.HasExited) {
            Wait-Event -SourceIdentifier 'TaskServer.Never' -Timeout 1 | Out-Null
        }
    }
    $done = $true
    exit $result
}
finally {
    # Ctrl+C reaches the programs too, and they stop by themselves; who was not told, or does not listen, is ended. No task is lost by that.
    foreach ($process in $processes) {
        if (-not $process.HasExited -and ($done -or -not $process.WaitForExit(5000))) { $process.Kill() }
    }
}
