# Builds once, starts both backends and the load balancer, and stops them all on Ctrl+C. A backend may be killed meanwhile, and
# started again with `dotnet run --project Backend1`: that is what there is to see. For Windows PowerShell 5.1 and PowerShell 7.
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

$names = 'Backend1', 'Backend2', 'LoadBalancer'
$processes = @()

foreach ($name in $names) {
    Write-Host "building $name"
    $output = dotnet build $name --configuration Release
    if ($LASTEXITCODE -ne 0) { $output; exit 1 }
}

try {
    foreach ($name in $names) {
        $process = New-Object System.Diagnostics.Process
        $process.StartInfo.FileName = 'dotnet'
        $process.StartInfo.Arguments = '"' + (Join-Path $PSScriptRoot "$name/bin/Release/net10.0/$name.dll") + '"'
        if ($name -eq 'LoadBalancer') { $process.StartInfo.Arguments += ' --LoadBalancer:Management:Address=http://127.0.0.1:8081' }
        $process.StartInfo.UseShellExecute = $false
        $process.StartInfo.RedirectStandardOutput = $true
        $process.StartInfo.RedirectStandardError = $true
        $print = { if ($null -ne $EventArgs.Data) { Write-Host "[$($Event.MessageData)] $($EventArgs.Data)" } }
        Register-ObjectEvent -InputObject $process -EventName OutputDataReceived -MessageData $name -Action $print | Out-Null
        Register-ObjectEvent -InputObject $process -EventName ErrorDataReceived -MessageData $name -Action $print | Out-Null
        $process.Start() | Out-Null
        $process.BeginOutputReadLine()
        $process.BeginErrorReadLine()
        $processes += $process
    }

    Write-Host @'
Try:  curl http://127.0.0.1:8080           the two backends in turn
      curl http://127.0.0.1:8080/health    who is well
      curl http://127.0.0.1:8080/status    and what they have done so far
      a browser at http://127.0.0.1:8081   all of it, to look at and to steer
Ctrl+C stops everything.
'@

    # Without the load balancer there is nothing left to see. Waiting for an event that never comes lets the programs' output be
    # printed meanwhile.
    $balancer = $processes[-1]
    while (-not $balancer.HasExited) {
        Wait-Event -SourceIdentifier 'LoadBalancer.Never' -Timeout 1 | Out-Null
    }
    exit $balancer.ExitCode
}
finally {
    # Ctrl+C reaches the programs too, and they stop by themselves; whoever has not within 5 s is ended.
    foreach ($process in $processes) {
        if (-not $process.HasExited -and -not $process.WaitForExit(5000)) { $process.Kill() }
    }
}
