# Builds and starts the store's load balancer (127.0.0.1), its alternative (127.0.0.2), three workers and a client, and stops them all when
# the client ends, or on Ctrl+C. The exit code is the client's. For Windows PowerShell 5.1 and PowerShell 7.
#
#   ./run.ps1 [--postgres STRING] [CLIENT OPTION...]    without options the client reads commands
#                                                       --test 1000: it sends that many requests instead
Set-Location $PSScriptRoot
. ../programs.ps1

$options = @($args)
$database = ''
$at = [Array]::IndexOf($options, '--postgres')
if ($at -ge 0) {
    $database = '--postgres "' + $options[$at + 1] + '"'
    $options = @($options | Select-Object -First $at) + @($options | Select-Object -Skip ($at + 2))
}

foreach ($address in '127.0.0.1', '127.0.0.2') {
    Assert-Free 5550, 5560, 5570, 5571, 5572, 5573 $address
}
Assert-Free 8081, 8082
Build-Programs 'StoreWorker', 'StoreClient', '../../LoadBalancer'

$done = $false
try {
    $main = Start-Program 'main' '../../LoadBalancer' '--config main.json'
    Start-Program 'alternative' '../../LoadBalancer' '--config alternative.json' | Out-Null
    foreach ($number in 1, 2, 3) {
        Start-Program "worker$number" 'StoreWorker' $database | Out-Null
    }
    Write-Host @"
A browser at http://127.0.0.1:8081 shows the main, one at http://127.0.0.1:8082 the alternative.
Stop-Process $($main.Id) kills the main: within 6.5 s the alternative answers.
"@
    dotnet StoreClient/bin/Release/net10.0/StoreClient.dll @options
    $result = $LASTEXITCODE
    $done = $true
    exit $result
}
finally {
    Stop-Programs $done
}
