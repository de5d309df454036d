#!/usr/bin/env bash
# Builds and starts three sites and the load balancer in front of them: redirect to https, two names with certificates, an API with tokens,
# a canary, a rate limit, a maintenance page, compression. Where pebble is installed, it starts that too: an authority, from which a third
# name gets its certificate. Ctrl+C stops everything.
#
#   ./run.sh [--tour]      --tour: asks for everything that README.md shows; the exit code is 0 if every answer is as it says there
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../programs.sh

case ${1:-} in
  '' | --tour) ;;
  *) sed -n '2,6s/^# \{0,1\}//p' run.sh; exit 0 ;;
esac

ports=(9311 9312 9313 9314 9343 9370 9371)
if command -v pebble pebble-challtestsrv > /dev/null; then
  has_pebble=1
  ports+=(9331 9332 9333 9334)
else
  has_pebble=
  echo "pebble is missing, so no certificate comes by itself; on Debian: apt-get install pebble" >&2
fi
for port in "${ports[@]}"; do
  require_free "$port"
done

for project in Site ../../LoadBalancer; do
  build "$project"
done

dotnet Site/bin/Release/net10.0/Site.dll secrets secrets
rm -rf secrets/acme secrets/pebble-root.pem
start shop Site serve --name shop --listen 127.0.0.1:9311
start api Site serve --name api --listen 127.0.0.1:9312
start canary Site serve --name canary --listen 127.0.0.1:9313
if [ "$has_pebble" ]; then
  # It asks the load balancer at :9370. Its DNS server says that every name is 127.0.0.1.
  cat > secrets/pebble.json <<'EOT'
{ "pebble": { "listenAddress": "127.0.0.1:9331", "managementListenAddress": "127.0.0.1:9332", "httpPort": 9370, "tlsPort": 9343,
              "certificate": "secrets/pebble.pem", "privateKey": "secrets/pebble.pem" } }
EOT
  pebble-challtestsrv -dns01 127.0.0.1:9333 -management 127.0.0.1:9334 -http01 '' -https01 '' -tlsalpn01 '' -defaultIPv6 '' \
    > /dev/null 2>&1 &
  pids+=($!)
  PEBBLE_VA_NOSLEEP=1 pebble -config secrets/pebble.json -dnsserver 127.0.0.1:9333 > secrets/pebble.log 2>&1 &
  pids+=($!)
  wait_for "${pids[4]}" is_open 9332
  curl --silent --cacert secrets/ca.pem https://127.0.0.1:9332/roots/0 > secrets/pebble-root.pem
fi
start loadbalancer ../../LoadBalancer --config edge.json
balancer=${pids[-1]}
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
      curl --cacert secrets/pebble-root.pem https://www.localhost:9343/    by a certificate that has come by itself
      a browser at http://127.0.0.1:9371                            the dashboard
      README.md has the rest.
Ctrl+C stops everything.
EOT
wait "$balancer"
