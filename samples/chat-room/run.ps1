# Builds once and starts a whole chat: two logic servers behind a load balancer in mode fl (clients at :3001), two data servers behind
# one in mode ld. Ctrl+C stops everything. With a KEY (base64 of 32 bytes) in the environment every heartbeat is signed. For Windows
# PowerShell 5.1 and PowerShell 7.
#
#   ./run.ps1 [--demo]    --demo: two clients talk by themselves while data1 and then logic1 are killed; the exit code is 0 where
#                                 both have heard everything
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

$demo = $args -contains '--demo'
$processes = @()
$done = $false

function Start-Program($name, $project, $arguments) {
    $process = New-Object System.Diagnostics.Process
    $process.StartInfo.FileName = 'dotnet'
    $process.StartInfo.Arguments = '"' + (Join-Path $PSScriptRoot "$project/bin/Release/net10.0/$(Split-Path $project -Leaf).dll") + '" ' + $arguments
    $process.StartInfo.WorkingDirectory = $PSScriptRoot
    $process.StartInfo.UseShellExecute = $false
    $process.StartInfo.RedirectStandardOutput = $true
    $process.StartInfo.RedirectStandardError = $true
    $print = { if ($null -ne $EventArgs.Data) { Write-Host "[$($Event.MessageData)] $($EventArgs.Data)" } }
    Register-ObjectEvent -InputObject $process -EventName OutputDataReceived -MessageData $name -Action $print | Out-Null
    Register-ObjectEvent -InputObject $process -EventName ErrorDataReceived -MessageData $name -Action $print | Out-Null
    $process.Start() | Out-Null
    $process.BeginOutputReadLine()
    $process.BeginErrorReadLine()
    $process
}

foreach ($port in 3001, 4001, 4002, 7000, 7002, 8000, 8002, 8081, 8082) {
    $probe = New-Object System.Net.Sockets.TcpClient
    try { $probe.Connect('127.0.0.1', $port) } catch { continue } finally { $probe.Dispose() }
    Write-Host "port $port is taken by another program"
    exit 1
}

foreach ($project in 'LogicServer', 'DataServer', 'ChatClient', '../../LoadBalancer') {
    Write-Host "building $(Split-Path $project -Leaf) (which may take a minute the first time)"
    $output = dotnet build $project --configuration Release
    if ($LASTEXITCODE -ne 0) { $output; exit 1 }
}

$key = ''
$fl = '--config fl.json --LoadBalancer:Management:Address=http://127.0.0.1:8081'
$ld = '--config ld.json --LoadBalancer:Management:Address=http://127.0.0.1:8082'
if ($env:KEY) {
    $key = "--key $env:KEY"
    $fl += " --LoadBalancer:Pools:logic:Heartbeat:Key=$env:KEY"
    $ld += " --LoadBalancer:Pools:logic:Heartbeat:Key=$env:KEY --LoadBalancer:Pools:data:Heartbeat:Key=$env:KEY"
}
$toBoth = '--heartbeat-to 127.0.0.1:5000,127.0.0.1:5001 --data 127.0.0.1:4001'

try {
    $balancer = Start-Program 'fl' '../../LoadBalancer' $fl
    $processes += $balancer
    $processes += Start-Program 'ld' '../../LoadBalancer' $ld
    $data1 = Start-Program 'data1' 'DataServer' "--listen 127.0.0.1:8000 --heartbeat-from 127.0.0.1:8001 --heartbeat-to 127.0.0.1:5002 --other 127.0.0.1:8002 $key"
    $processes += $data1
    $processes += Start-Program 'data2' 'DataServer' "--listen 127.0.0.1:8002 --heartbeat-from 127.0.0.1:8003 --heartbeat-to 127.0.0.1:5002 --other 127.0.0.1:8000 $key"
    $logic1 = Start-Program 'logic1' 'LogicServer' "--listen 127.0.0.1:7000 --heartbeat-from 127.0.0.1:7001 $toBoth $key"
    $processes += $logic1
    $processes += Start-Program 'logic2' 'LogicServer' "--listen 127.0.0.1:7002 --heartbeat-from 127.0.0.1:7003 $toBoth $key"

    if ($demo) {
        dotnet ChatClient/bin/Release/net10.0/ChatClient.dll 127.0.0.1:3001 --demo $data1.Id $logic1.Id
        $result = $LASTEXITCODE
        $done = $true
        exit $result
    }
    Write-Host @"
Try:  dotnet ChatClient/bin/Release/net10.0/ChatClient.dll    twice, each in a terminal: join kitchen ana, say kitchen hello
      a browser at http://127.0.0.1:8081 and :8082            who is up, and how busy
      $("Stop-Process $($data1.Id)".PadRight(56))stops data1
      $("Stop-Process $($logic1.Id)".PadRight(56))stops logic1
Ctrl+C stops everything.
"@
    # Waiting for an event that never comes lets the programs' output be printed meanwhile.
    while (-not $balancer.HasExited) {
        Wait-Event -SourceIdentifier 'ChatRoom.Never' -Timeout 1 | Out-Null
    }
    $done = $true
}
finally {
    # Ctrl+C reaches the programs too, and they stop by themselves; who was not told, or does not listen, is ended.
    foreach ($process in $processes) {
        if (-not $process.HasExited -and ($done -or -not $process.WaitForExit(5000))) { $process.Kill() }
    }
}
