# Builds once, starts the store's load balancer (127.0.0.1), its alternative (127.0.0.2), three workers and a client, and stops them all
# when the client ends, or on Ctrl+C. The exit code is the client's. For Windows PowerShell 5.1 and PowerShell 7.
#
#   ./run.ps1 [--postgres STRING] [OPTION OF THE CLIENT...]    without options the client reads commands
#                                                              --test 1000: it sends so many requests instead
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

$options = @($args)
$database = ''
$at = [Array]::IndexOf($options, '--postgres')
if ($at -ge 0) {
    $database = '--postgres "' + $options[$at + 1] + '"'
    $options = @($options | Select-Object -First $at) + @($options | Select-Object -Skip ($at + 2))
}
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

foreach ($address in '127.0.0.1', '127.0.0.2') {
    foreach ($port in 5550, 5560, 5570, 5571, 5572, 5573) {
        $probe = New-Object System.Net.Sockets.TcpClient
        try { $probe.Connect($address, $port) } catch { continue } finally { $probe.Dispose() }
        Write-Host "port $port of $address is taken by another program"
        exit 1
    }
}

foreach ($project in 'StoreWorker', 'StoreClient', '../../LoadBalancer') {
    Write-Host "building $(Split-Path $project -Leaf)"
    $output = dotnet build $project --configuration Release
    if ($LASTEXITCODE -ne 0) { $output; exit 1 }
}

try {
    $main = Start-Program 'main' '../../LoadBalancer' '--config main.json'
    $processes += $main
    $processes += Start-Program 'alternative' '../../LoadBalancer' '--config alternative.json'
    foreach ($number in 1, 2, 3) {
        $processes += Start-Program "worker$number" 'StoreWorker' $database
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
    # Ctrl+C reaches the programs too, and they stop by themselves; who was not told, or does not listen, is ended.
    foreach ($process in $processes) {
        if (-not $process.HasExited -and ($done -or -not $process.WaitForExit(5000))) { $process.Kill() }
    }
}
