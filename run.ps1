# Builds and starts both backends and the load balancer, and stops them all on Ctrl+C. Stop a backend meanwhile to see what happens, and
# start it again with `dotnet run --project Backend1`. For Windows PowerShell 5.1 and PowerShell 7.
Set-Location $PSScriptRoot
. ./samples/programs.ps1

Assert-Free 3000, 3001, 8080, 8081
Build-Programs 'Backend1', 'Backend2', 'LoadBalancer'

$done = $false
try {
    Start-Program 'Backend1' 'Backend1' | Out-Null
    Start-Program 'Backend2' 'Backend2' | Out-Null
    $balancer = Start-Program 'LoadBalancer' 'LoadBalancer' '--LoadBalancer:Management:Address=http://127.0.0.1:8081'
    # The management listener knows when a backend is up.
    if (Wait-Answer $balancer 'http://127.0.0.1:8081/health') {
        Write-Host @'
Try:  curl.exe http://127.0.0.1:8080           the two backends in turn
      curl.exe http://127.0.0.1:8080/health    which backends are up
      curl.exe http://127.0.0.1:8080/status    what they have done so far
      a browser at http://127.0.0.1:8081       the dashboard
Ctrl+C stops everything.
'@
    }
    # Ends with the load balancer, and with its exit code.
    Wait-Program $balancer
    $done = $true
    exit $balancer.ExitCode
}
finally {
    Stop-Programs $done
}
