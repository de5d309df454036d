#!/usr/bin/env bash
# Measures what it costs a request that the 1,000 backends of its pool were found by name, beside the same backends in the configuration.
# The name is looked up every second meanwhile. Needs nginx, wrk, dnsmasq; ports 9185 to 9188; 127.9.0.0/16 for the backends.
#
#   bench/found.sh [--rounds N] [--seconds S]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

rounds=5
seconds=3
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  esac
done
dnsmasq=$(PATH=$PATH:/usr/sbin command -v dnsmasq) || { echo "dnsmasq is missing (Debian: apt-get install dnsmasq-base)" >&2; exit 1; }
ulimit -n 65536 2> /dev/null || ulimit -n "$(ulimit -Hn)"

work=$(mktemp -d)
declare -A pid port=([listed]=9185 [found]=9187)
stop() {
  kill -TERM "${pid[@]}" 2> /dev/null || true
  wait
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

cat > "$work/nginx.conf" <<END
daemon off; user root; pid $work/nginx.pid; error_log $work/nginx.log crit; events { worker_connections 16384; }
http { access_log off; keepalive_timeout 300; keepalive_requests 100000000;
  server { listen 9186; allow 127.0.0.0/8; deny all; location / { return 200 "one hundred bytes or so would be no different"; } } }
END
addresses=$(for i in {0..999}; do echo "127.9.$((i / 250)).$((i % 250 + 1))"; done)
awk '{ print $1, "app.bench" }' <<< "$addresses" > "$work/hosts"
write() { # NAME BACKENDS MORE
  cat > "$work/$1.json" <<END
{ "LoadBalancer": { "Listeners": { "web": { "Address": "http://127.0.0.1:${port[$1]}", "Pool": "web", "AccessLog": "Off" } },
  "Pools": { "web": { $3 "Backends": { $2 } } } } }
END
}
write listed "$(awk '{ printf "%s\"b%d\": { \"Address\": \"http://%s:9186\" }", (NR > 1 ? ", " : ""), NR, $1 }' <<< "$addresses")" ''
write found '"app": { "Address": "http://app.bench:9186", "Resolve": "All" }' '"Dns": { "Server": "127.0.0.1:9188", "MinInterval": "1s" },'

dotnet build ../LoadBalancer --configuration Release --nologo --verbosity quiet
nginx -p "$work" -c "$work/nginx.conf" & pid[nginx]=$!
"$dnsmasq" --no-daemon --conf-file=/dev/null --pid-file= --user= --no-resolv --no-hosts --local=/bench/ --addn-hosts="$work/hosts" \
  --local-ttl=1 --listen-address=127.0.0.1 --bind-interfaces --port=9188 2> /dev/null & pid[dns]=$!
sleep 1
for name in listed found; do
  dotnet ../LoadBalancer/bin/Release/net10.0/LoadBalancer.dll --config "$work/$name.json" > "$work/$name.log" 2>&1 < /dev/null &
  pid[$name]=$!
  until curl --silent --fail --output /dev/null "http://127.0.0.1:${port[$name]}/"; do kill -0 "${pid[$name]}"; sleep 0.1; done
  wrk -t1 -c64 -d5s "http://127.0.0.1:${port[$name]}/" > /dev/null # warm up: a connection to each backend
done
grep -h 'members now' "$work/found.log" >&2

ticks() { sed 's/.*) //' "/proc/${pid[$1]}/stat" | awk '{ print $12 + $13 }'; }
for ((round = 0; round < rounds; round++)); do
  for name in listed found; do
    before=$(ticks "$name")
    requests=$(wrk -t1 -c64 -d"${seconds}s" "http://127.0.0.1:${port[$name]}/" | awk '$2 == "requests" && $3 == "in" { print $1 }')
    echo "$name $requests $(($(ticks "$name") - before))" >> "$work/results"
  done
done
echo "| 1,000 backends | requests/s | CPU µs/request |"
echo "| --- | ---: | ---: |"
for name in listed found; do
  grep "^$name " "$work/results" | awk -v hz="$(getconf CLK_TCK)" -v s="$seconds" '{ print $2 / s, $3 / hz * 1e6 / $2 }' | sort -n -k2 |
    awk -v name="$name" '
      { rate[NR] = $1; cpu[NR] = $2 }
      END { i = int((NR + 1) / 2); printf "| %s | %.0f | %.1f |\n", name, rate[i], cpu[i] }'
done
