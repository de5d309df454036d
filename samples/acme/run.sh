#!/usr/bin/env bash
# Builds and starts a certificate authority (pebble, the test server of ACME), a backend, and the load balancer, which gets certificates
# for two names from the authority. Ctrl+C stops everything. Linux only.
#
#   ./run.sh [--demo]      --demo: checks both certificates, restarts the load balancer, ends the authority, and checks again; the exit code
#                          is 0 if every answer was as it must be
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../programs.sh

case ${1:-} in
  '' | --demo) ;;
  *) sed -n '2,6s/^# \{0,1\}//p' run.sh; exit 0 ;;
esac

for program in pebble pebble-challtestsrv openssl; do
  command -v "$program" > /dev/null || { echo "$program is missing; on Debian: apt-get install pebble openssl" >&2; exit 1; }
done
for port in 9501 9502 9503 9504 9511 9543 9571 9580; do
  require_free "$port"
done
for project in ../../Backend1 ../../LoadBalancer; do
  build "$project"
done

rm -rf secrets
mkdir -m 700 secrets
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
  -keyout secrets/pebble.key -out secrets/pebble.pem 2> /dev/null
cat > secrets/pebble.json <<'EOT'
{ "pebble": { "listenAddress": "127.0.0.1:9501", "managementListenAddress": "127.0.0.1:9502", "httpPort": 9580, "tlsPort": 9543,
              "certificate": "secrets/pebble.pem", "privateKey": "secrets/pebble.key", "certificateValidityPeriod": 7776000 } }
EOT

# Its DNS server says that every name is 127.0.0.1.
pebble-challtestsrv -dns01 127.0.0.1:9503 -management 127.0.0.1:9504 -http01 '' -https01 '' -tlsalpn01 '' -defaultIPv6 '' > /dev/null 2>&1 &
pids+=($!)
PEBBLE_VA_NOSLEEP=1 pebble -config secrets/pebble.json -dnsserver 127.0.0.1:9503 > secrets/pebble.log 2>&1 &
pids+=($!)
start backend1 ../../Backend1 --urls http://127.0.0.1:9511
wait_for "${pids[1]}" is_open 9502
curl --silent --insecure https://127.0.0.1:9502/roots/0 > secrets/root.pem
start loadbalancer ../../LoadBalancer --config acme.json

answer() { curl --silent --max-time 5 --cacert secrets/root.pem "https://$1.localhost:9543/"; }
both_answer() { [[ $(answer shop) == Hello* && $(answer admin) == Hello* ]]; }
serial() { openssl s_client -connect 127.0.0.1:9543 -servername shop.localhost < /dev/null 2> /dev/null | openssl x509 -noout -serial; }
wait_for "${pids[3]}" both_answer

if [ "${1:-}" = --demo ]; then
  before=$(serial)
  kill -TERM "${pids[3]}" "${pids[1]}" # the load balancer and the authority
  wait "${pids[3]}" "${pids[1]}" || true
  start loadbalancer ../../LoadBalancer --config acme.json
  wait_for "${pids[4]}" is_open 9543
  both_answer || { echo "no answer with the certificates of the store" >&2; exit 1; }
  [ "$(serial)" = "$before" ] || { echo "it is another certificate" >&2; exit 1; }
  echo "two certificates, a restart that ordered nothing, and no authority any more: every answer is right"
  exit
fi

cat <<'EOT'
Try:  curl --cacert secrets/root.pem https://shop.localhost:9543/     verified against the authority's root
      ls -l secrets/acme/*                                            what is kept
      a browser at http://127.0.0.1:9571                              the dashboard, with the certificates
Ctrl+C stops everything.
EOT
wait "${pids[3]}"
