#!/usr/bin/env bash
# Builds and starts three sites and the load balancer in front of them: redirect to https, two names with certificates, an API with tokens,
# a canary, a rate limit, a maintenance page, compression. Ctrl+C stops everything.
#
#   ./run.sh [--tour]      --tour: asks for everything that README.md shows; the exit code is 0 if every answer is as it says there
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../programs.sh

case ${1:-} in
  '' | --tour) ;;
  *) sed -n '2,5s/^# \{0,1\}//p' run.sh; exit 0 ;;
esac

for port in 9311 9312 9313 9314 9343 9370 9371; do
  require_free "$port"
done

for project in Site ../../LoadBalancer; do
  build "$project"
done

dotnet Site/bin/Release/net10.0/Site.dll secrets secrets
start shop Site serve --name shop --listen 127.0.0.1:9311
start api Site serve --name api --listen 127.0.0.1:9312
start canary Site serve --name canary --listen 127.0.0.1:9313
start loadbalancer ../../LoadBalancer --config edge.json
for _ in {1..200}; do
  curl --silent --fail --output /dev/null --cacert secrets/ca.pem https://shop.localhost:9343/ && break
  sleep 0.1
done

if [ "${1:-}" = --tour ]; then
  ./tour.sh
  exit
fi
cat <<'EOT'
Try:  curl -i http://shop.localhost:9370/                           is sent to https
      curl --cacert secrets/ca.pem https://shop.localhost:9343/     what the shop gets
      a browser at http://127.0.0.1:9371                            the dashboard
      README.md has the rest.
Ctrl+C stops everything.
EOT
wait "${pids[3]}"
