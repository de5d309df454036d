#!/usr/bin/env bash
# Measures what TLS handshakes cost: new and resumed, TLS 1.2 and 1.3, with a P-256 certificate, beside nginx and HAProxy with the same one.
# The client is openssl s_time: one connection after the other, without SNI. Prints a Markdown table of medians.
#
#   bench/tls.sh [--rounds 5] [--seconds 3]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

rounds=5
seconds=3
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 1 ;;
  esac
done
for tool in nginx haproxy openssl curl; do
  command -v "$tool" > /dev/null || { echo "bench/tls.sh needs $tool (Debian: apt-get install $tool)" >&2; exit 1; }
done

work=$(mktemp -d)
declare -A pid=() port=([nginx]=9171 [haproxy]=9172 [ours]=9173)
proxies=(nginx haproxy ours)
finish() {
  kill -TERM "${pid[@]}" 2> /dev/null || true
  wait
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key.pem" -out "$work/cert.pem" -days 30 \
  -subj /CN=localhost -addext subjectAltName=DNS:localhost 2> "$work/openssl.log"
cat "$work/cert.pem" "$work/key.pem" > "$work/both.pem"
mkdir "$work/www"
echo small > "$work/www/small"
cat > "$work/backend.conf" <<CONF
daemon off; user root; pid $work/backend.pid; error_log $work/backend.log crit;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; server { listen 127.0.0.1:9170; root $work/www; } }
CONF
cat > "$work/nginx.conf" <<CONF
daemon off; user root; worker_processes 2; pid $work/nginx.pid; error_log $work/nginx.log crit;
events { worker_connections 4096; }
http {
  access_log off;
  upstream web { server 127.0.0.1:9170; keepalive 64; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port[nginx]} ssl; ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:10m;
    location / { proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
CONF
cat > "$work/haproxy.conf" <<CONF
global
  nbthread 2
  log /dev/null local0 emerg
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend web
  bind 127.0.0.1:${port[haproxy]} ssl crt $work/both.pem ssl-min-ver TLSv1.2
  default_backend web
backend web
  http-reuse always
  server backend 127.0.0.1:9170
CONF
cat > "$work/ours.json" <<CONF
{ "LoadBalancer": {
  "Listeners": { "web": { "Address": "https://127.0.0.1:${port[ours]}", "Pool": "web",
    "Certificates": [ { "File": "$work/cert.pem", "KeyFile": "$work/key.pem" } ] } },
  "Pools": { "web": { "Backends": { "backend": { "Address": "http://127.0.0.1:9170" } } } } } }
CONF

dotnet build ../LoadBalancer --configuration Release --nologo --verbosity quiet > "$work/build" 2>&1 || { cat "$work/build" >&2; exit 1; }
nginx -p "$work" -c "$work/backend.conf" & pid[backend]=$!
nginx -p "$work" -c "$work/nginx.conf" & pid[nginx]=$!
haproxy -db -f "$work/haproxy.conf" > "$work/haproxy.log" 2>&1 & pid[haproxy]=$!
dotnet ../LoadBalancer/bin/Release/net10.0/LoadBalancer.dll --config "$work/ours.json" > "$work/ours.log" 2>&1 & pid[ours]=$!
for proxy in "${proxies[@]}"; do
  curl --silent --fail --insecure --retry 50 --retry-delay 1 --retry-all-errors --output /dev/null \
    "https://127.0.0.1:${port[$proxy]}/small" ||
    { echo "$proxy does not answer" >&2; cat "$work/$proxy.log" >&2; exit 1; }
done

cpu_ticks() { # PROXY: of the process and its children
  for p in "${pid[$1]}" $(pgrep -P "${pid[$1]}"); do sed 's/.*) //' "/proc/$p/stat"; done | awk '{ sum += $12 + $13 } END { print sum }'
}

round() { # WHAT PROXY OPTION...: one round; s_time prints a line such as "3000 connections in 4 real seconds, …"
  local what=$1 proxy=$2 before after
  shift 2
  before=$(cpu_ticks "$proxy")
  openssl s_time -connect "127.0.0.1:${port[$proxy]}" -time "$seconds" "$@" > "$work/out" 2>&1 || true
  after=$(cpu_ticks "$proxy")
  awk -v what="$what" -v proxy="$proxy" -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v seconds="$seconds" -v OFS='\t' '
    / connections in .* real seconds/ {
      print what, proxy, "CPU µs/handshake", ticks / hz * 1e6 / $1
      print what, proxy, "handshakes/s", $1 / seconds
    }' "$work/out" >> "$work/results"
}

measure() { # WHAT OPTION...
  local what=$1 i proxy
  shift
  for ((i = -1; i < rounds; i++)); do
    for proxy in "${proxies[@]}"; do round "$([ $i -lt 0 ] && echo warm-up || echo "$what")" "$proxy" "$@"; done
  done
}

measure "TLS 1.3, new" -new -tls1_3
measure "TLS 1.2, new" -new -tls1_2
measure "TLS 1.2, resumed" -reuse -tls1_2
measure "TLS 1.3, new, with a request" -new -tls1_3 -www /small
measure "TLS 1.3, resumed, with a request" -reuse -tls1_3 -www /small # s_time reads a ticket of TLS 1.3 only with a response

echo "| handshake | measure | nginx | HAProxy | LoadBalancer | to nginx | to HAProxy |"
echo "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
grep -v '^warm-up' "$work/results" | sort -t $'\t' -k1,3 -k4,4n -s | awk -F'\t' '
  { key = $1 FS $3 FS $2; values[key, ++n[key]] = $4; rows[$1 FS $3] = 1; order[$1 FS $3] = order[$1 FS $3] ? order[$1 FS $3] : NR }
  function median(key) { return (values[key, int((n[key] + 1) / 2)] + values[key, int(n[key] / 2) + 1]) / 2 }
  END {
    for (row in rows) {
      nginx = median(row FS "nginx"); haproxy = median(row FS "haproxy"); ours = median(row FS "ours")
      split(row, part, FS)
      printf "| %s | %s | %.0f | %.0f | %.0f | %.2f | %.2f |\n", part[1], part[2], nginx, haproxy, ours, ours / nginx, ours / haproxy
    }
  }' | sort
