# Builds and starts a whole chat: two logic servers behind a load balancer in mode fl (clients connect to :3001), two data servers behind
# one in mode ld. Ctrl+C stops everything. With KEY (base64 of 32 bytes) in the environment every heartbeat is signed. For Windows
# PowerShell 5.1 and PowerShell 7.
#
#   ./run.ps1 [--demo]    --demo: two clients talk while data1 and then logic1 are killed; the exit code is 0 if both have received
#                                 everything
Set-Location $PSScriptRoot
. ../programs.ps1

Assert-Free 3001, 4001, 4002, 7000, 7002, 8000, 8002, 8081, 8082
Build-Programs 'LogicServer', 'DataServer', 'ChatClient', '../../LoadBalancer' ' (which may take a minute the first time)'

$key = ''
$fl = '--config fl.json --LoadBalancer:Management:Address=http://127.0.0.1:8081'
$ld = '--config ld.json --LoadBalancer:Management:Address=http://127.0.0.1:8082'
if ($env:KEY) {
    $key = " --key $env:KEY"
    $fl += " --LoadBalancer:Pools:logic:Heartbeat:Key=$env:KEY"
    $ld += " --LoadBalancer:Pools:logic:Heartbeat:Key=$env:KEY --LoadBalancer:Pools:data:Heartbeat:Key=$env:KEY"
}
$data = "--heartbeat-to 127.0.0.1:5002$key"
$logic = "--heartbeat-to 127.0.0.1:5000,127.0.0.1:5001 --data 127.0.0.1:4001$key"

$done = $false
try {
    $balancer = Start-Program 'fl' '../../LoadBalancer' $fl
    Start-Program 'ld' '../../LoadBalancer' $ld | Out-Null
    $data1 = Start-Program 'data1' 'DataServer' "--listen 127.0.0.1:8000 --heartbeat-from 127.0.0.1:8001 --other 127.0.0.1:8002 $data"
    Start-Program 'data2' 'DataServer' "--listen 127.0.0.1:8002 --heartbeat-from 127.0.0.1:8003 --other 127.0.0.1:8000 $data" | Out-Null
    $logic1 = Start-Program 'logic1' 'LogicServer' "--listen 127.0.0.1:7000 --heartbeat-from 127.0.0.1:7001 $logic"
    Start-Program 'logic2' 'LogicServer' "--listen 127.0.0.1:7002 --heartbeat-from 127.0.0.1:7003 $logic" | Out-Null

    if ($args -contains '--demo') {
        dotnet ChatClient/bin/Release/net10.0/ChatClient.dll 127.0.0.1:3001 --demo $data1.Id $logic1.Id
        $result = $LASTEXITCODE
        $done = $true
        exit $result
    }
    Write-Host @"
Try:  dotnet ChatClient/bin/Release/net10.0/ChatClient.dll    twice, each in a terminal: join kitchen ana, say kitchen hello
      a browser at http://127.0.0.1:8081 and :8082            the dashboards: which servers are up, and how busy
      $("Stop-Process $($data1.Id)".PadRight(56))stops data1
      $("Stop-Process $($logic1.Id)".PadRight(56))stops logic1
Ctrl+C stops everything.
"@
    Wait-Program $balancer
    $done = $true
}
finally {
    Stop-Programs $done
}
