# Builds and starts the load balancer and three workers, lets a client send its tasks, and stops everything when it is done, or on Ctrl+C.
# The exit code is the client's: 0 if every task had its result. For Windows PowerShell 5.1 and PowerShell 7.
#
#   ./run.ps1 [--keep] [CLIENT OPTION...]    --keep: everything goes on when the client is done
#                                            --random 100000: that many random tasks; --file FILE: the lines of a file
Set-Location $PSScriptRoot
. ../programs.ps1

$keep = $args -contains '--keep'
$options = @($args | Where-Object { $_ -ne '--keep' })

Assert-Free 8888, 8889, 8081
Build-Programs 'Worker', 'Client', '../../LoadBalancer'

# Lines about each of 100,000 tasks are of no use.
$quiet = if ($options -contains '--random') { ' --quiet --capacity 16' } else { '' }

$done = $false
try {
    $balancer = Start-Program 'loadbalancer' '../../LoadBalancer' '--config loadbalancer.json'
    $worker1 = Start-Program 'worker1' 'Worker' "--name worker1$quiet"
    foreach ($name in 'worker2', 'worker3') {
        Start-Program $name 'Worker' "--name $name$quiet" | Out-Null
    }

    Start-Sleep 1 # until all have registered, so that each gets tasks
    dotnet Client/bin/Release/net10.0/Client.dll @options
    $result = $LASTEXITCODE

    if ($keep) {
        Write-Host @"
Try:  dotnet Client/bin/Release/net10.0/Client.dll --random 100000
      http://127.0.0.1:8081                           the dashboard: workers join and leave
      $("Stop-Process $($worker1.Id)".PadRight(48))stops worker1; its tasks go to the others
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
