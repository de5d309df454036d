# Builds once, starts the load balancer and three workers, lets a client send its tasks, and stops everything when it is done, or on
# Ctrl+C. The exit code is the client's: 0 where every task had its result. For Windows PowerShell 5.1 and PowerShell 7.
#
#   ./run.ps1 [--keep] [OPTION OF THE CLIENT...]     --keep: goes on when the client is done
#                                                    --random 100000: so many random tasks; --file FILE: the lines of a file
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

foreach ($port in 8888, 8889, 8081) {
    $probe = New-Object System.Net.Sockets.TcpClient
    try { $probe.Connect('127.0.0.1', $port) } catch { continue } finally { $probe.Dispose() }
    Write-Host "port $port is taken by another program"
    exit 1
}

foreach ($project in 'Worker', 'Client', '../../LoadBalancer') {
    Write-Host "building $(Split-Path $project -Leaf)"
    $output = dotnet build $project --configuration Release
    if ($LASTEXITCODE -ne 0) { $output; exit 1 }
}

try {
    # Of 100,000 tasks nobody wants to read.
    $quiet = if ($options -contains '--random') { ' --quiet --capacity 16' } else { '' }
    $balancer = Start-Program 'loadbalancer' '../../LoadBalancer' '--config loadbalancer.json'
    $processes += $balancer
    $worker1 = Start-Program 'worker1' 'Worker' "--name worker1$quiet"
    $processes += $worker1
    foreach ($name in 'worker2', 'worker3') {
        $processes += Start-Program $name 'Worker' "--name $name$quiet"
    }

    Start-Sleep 1 # until all have registered, so that each gets something to do
    dotnet Client/bin/Release/net10.0/Client.dll @options
    $result = $LASTEXITCODE

    if ($keep) {
        Write-Host @"
Try:  dotnet Client/bin/Release/net10.0/Client.dll --random 100000
      http://127.0.0.1:8081                           the dashboard: workers come and go
      Stop-Process $($worker1.Id)                     stops worker1; its tasks go to the others
Ctrl+C stops everything.
"@
        # Waiting for an event that never comes lets the programs' output be printed meanwhile.
        while (-not $balancer.HasExited) {
            Wait-Event -SourceIdentifier 'Tasks.Never' -Timeout 1 | Out-Null
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
