#!/usr/bin/env bash
# Compares the builds of the load balancer (JIT, and what packaging/build.sh makes: Native AOT and ReadyToRun) with nginx and HAProxy: time
# from the start of the process to the end of its first answer, memory when idle and under 64 connections, CPU of a request. Prints a
# Markdown table of medians.
#
#   bench/start.sh [--rounds N] [--seconds S] [--no-load] [NAME=PROGRAM...]    further files to compare
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

rounds=7
seconds=3
load=1
declare -A program=([JIT]=../LoadBalancer/bin/Release/net10.0/LoadBalancer.dll
  [AOT]=../artifacts/aot/loadbalancer [ReadyToRun]=../artifacts/r2r/loadbalancer)
names=(${NAMES-nginx HAProxy JIT ReadyToRun AOT})
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --no-load) load=; shift ;;
    *=*) names+=("${1%%=*}"); program[${1%%=*}]=$(realpath "${1#*=}"); shift ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 1 ;;
  esac
done
for tool in nginx wrk; do
  command -v "$tool" > /dev/null || { echo "bench/start.sh needs $tool (Debian: apt-get install $tool)" >&2; exit 1; }
done

work=$(mktemp -d)
pid=
backend=
stop() { kill -TERM $pid $backend 2> /dev/null || true; wait; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM

printf '%0103d\n' 0 > "$work/small"
cat > "$work/backend.conf" <<END
daemon off; user root; worker_processes 1; pid $work/backend.pid; error_log $work/backend.log crit;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 100000000; server { listen 127.0.0.1:9190; root $work; } }
END
cat > "$work/nginx.conf" <<END
daemon off; user root; worker_processes 2; pid $work/nginx.pid; error_log $work/nginx.log crit;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000000;
  upstream web { server 127.0.0.1:9190; keepalive 64; keepalive_requests 100000000; }
  server { listen 127.0.0.1:9191; location / { proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; } }
}
END
cat > "$work/haproxy.conf" <<END
global
  nbthread 2
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend web
  bind 127.0.0.1:9191
  default_backend web
backend web
  http-reuse always
  server backend 127.0.0.1:9190
END
cat > "$work/ours.json" <<END
{ "LoadBalancer": {
  "Listeners": { "web": { "Address": "http://127.0.0.1:9191", "Pool": "web" } },
  "Pools": { "web": { "HealthCheck": { "Path": "/small" }, "Backends": { "backend": { "Address": "http://127.0.0.1:9190" } } } },
  "Management": { "Address": "http://127.0.0.1:9192" } } }
END

start() { # NAME
  case $1 in
    nginx) exec nginx -p "$work" -c "$work/nginx.conf" ;;
    HAProxy) exec haproxy -db -f "$work/haproxy.conf" ;;
    JIT) exec dotnet "${program[JIT]}" -c "$work/ours.json" ;;
    *) exec "${program[$1]}" -c "$work/ours.json" ;;
  esac > "$work/$1.log" 2>&1 < /dev/null
}

exec 9<> <(:) # nothing ever comes: a sleep without a process
answers() { # PORT: no process either, which would take longer than some of what is measured
  local line
  { exec 3<> "/dev/tcp/127.0.0.1/$1"; } 2> /dev/null || return 1
  printf 'GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >&3
  IFS= read -r -t 5 line <&3 || line=
  exec 3>&-
  [[ $line == 'HTTP/1.1 200 '* ]]
}

family() { echo "$pid"; pgrep -P "$pid" || true; }
ticks() { for p in $(family); do sed 's/.*) //' "/proc/$p/stat"; done | awk '{ sum += $12 + $13 } END { print sum }'; }
memory() { for p in $(family); do grep -E "^VmRSS:" "/proc/$p/status"; done | awk '{ sum += $2 } END { printf "%.1f\n", sum / 1024 }'; }
record() { printf '%s\t%s\t%s\n' "$@" >> "$work/results"; }

measure() { # NAME ROUND
  local from=$EPOCHREALTIME before after requests until
  start "$1" &
  pid=$!
  until=$((SECONDS + 20))
  until answers 9191; do
    [ $SECONDS -lt $until ] && kill -0 "$pid" 2> /dev/null || { echo "$1 does not answer:" >&2; cat "$work/$1.log" >&2; exit 1; }
    read -r -t 0.001 -u 9 || true
  done
  record "$1" "first answer, ms" "$(awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", (b - a) * 1000 }')"
  sleep 1
  record "$1" "idle, MB" "$(memory)"
  if [ -n "$load" ] && [ "$2" -lt 3 ]; then
    wrk -t1 -c64 -d1s http://127.0.0.1:9191/small > /dev/null # warm up
    before=$(ticks)
    wrk -t1 -c64 -d"${seconds}s" http://127.0.0.1:9191/small > "$work/wrk" &
    sleep "$((seconds - 1)).8"
    record "$1" "64 connections, MB" "$(memory)"
    wait $!
    after=$(ticks)
    requests=$(awk '$2 == "requests" && $3 == "in" { print $1 }' "$work/wrk")
    record "$1" "CPU µs/request" "$(awk -v t=$((after - before)) -v n="$requests" 'BEGIN { printf "%.1f", t * 10000 / n }')"
  fi
  kill -TERM "$pid"
  wait "$pid" || true
  pid=
}

command -v haproxy > /dev/null || names=("${names[@]/HAProxy/}")
nginx -p "$work" -c "$work/backend.conf" &
backend=$!
measured=()
for name in "${names[@]}"; do
  [ -z "$name" ] || { [ -n "${program[$name]:-}" ] && [ ! -e "${program[$name]}" ]; } || measured+=("$name")
done
for ((round = 0; round < rounds; round++)); do
  for name in "${measured[@]}"; do measure "$name" "$round"; done
done

measures=("first answer, ms" "idle, MB")
[ -z "$load" ] || measures+=("64 connections, MB" "CPU µs/request")
printf '| build |'; printf ' %s |' "${measures[@]}"; printf '\n| --- |'; printf ' ---: |%.0s' "${measures[@]}"; echo
for name in "${measured[@]}"; do
  printf '| %s |' "$name"
  for measure in "${measures[@]}"; do
    awk -F'\t' -v name="$name" -v measure="$measure" '$1 == name && $2 == measure { print $3 }' "$work/results" | sort -n \
      | awk '{ v[NR] = $1 } END { printf " %s |", v[int((NR + 1) / 2)] }'
  done
  echo
done
