# Builds and starts three sites and the load balancer in front of them: redirect to https, two names with certificates, an API with tokens,
# a canary, a rate limit, a maintenance page, compression. Ctrl+C stops everything. For Windows PowerShell 5.1 and PowerShell 7.
Set-Location $PSScriptRoot
. ../programs.ps1

Assert-Free 9311, 9312, 9313, 9314, 9343, 9370, 9371
Build-Programs 'Site', '../../LoadBalancer'

dotnet Site/bin/Release/net10.0/Site.dll secrets secrets
$done = $false
try {
    Start-Program 'shop' 'Site' 'serve --name shop --listen 127.0.0.1:9311' | Out-Null
    Start-Program 'api' 'Site' 'serve --name api --listen 127.0.0.1:9312' | Out-Null
    Start-Program 'canary' 'Site' 'serve --name canary --listen 127.0.0.1:9313' | Out-Null
    $balancer = Start-Program 'loadbalancer' '../../LoadBalancer' '--config edge.json'
    Write-Host @"
Try:  curl -i http://shop.localhost:9370/                           is sent to https
      curl --cacert secrets/ca.pem https://shop.localhost:9343/     what the shop gets
      a browser at http://127.0.0.1:9371                            the dashboard
      README.md has the rest.
Ctrl+C stops everything.
"@
    Wait-Program $balancer
    $done = $true
}
finally {
    Stop-Programs $done
}
