#!/usr/bin/env bash
# Compares balancing policies over real connections: two nodes of each proxy in front of the same servers, which work at four requests at a
# time and are uneven or disturbed (bench/PolicyLoad). The load is open: requests come at a fixed rate, and their times count from when they
# were due. Prints a Markdown table for each scenario. Ports 9220 to 9245.
#
#   bench/policies-live.sh [--seconds S] [--warm S] [--servers N] [--load %] [--overload %] [--scenario NAME]... [PROXY...]
#   scenarios: same speed4 antagonist
#   proxies:   haproxy nginx nginx-random2 yarp, and any policy of ours; POLICY+Auto has "MaxInFlight": "Auto" too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=20
warm=5
servers=16
load=70
overload=130
scenarios=()
proxies=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --warm) warm=$2; shift 2 ;;
    --servers) servers=$2; shift 2 ;;
    --load) load=$2; shift 2 ;;
    --overload) overload=$2; shift 2 ;;
    --scenario) scenarios+=("$2"); shift 2 ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) proxies+=("$1"); shift ;;
  esac
done
[ ${#scenarios[@]} -gt 0 ] || scenarios=(speed4 antagonist)
[ ${#proxies[@]} -gt 0 ] || proxies=(haproxy nginx nginx-random2 yarp LeastConnections PowerOfTwoChoices ResponseTime)
if ! [[ $servers =~ ^[0-9]+$ ]] || [ "$servers" -lt 1 ] || [ "$servers" -gt 16 ]; then
  echo "bench/policies-live.sh: --servers $servers; expected 1 to 16" >&2
  exit 1
fi
for tool in nginx haproxy curl; do
  case " ${proxies[*]} curl " in
    *" $tool"*)
      command -v "$tool" > /dev/null || { echo "bench/policies-live.sh needs $tool (Debian: apt-get install $tool)" >&2; exit 1; } ;;
  esac
done
ulimit -n 65536 2> /dev/null || ulimit -n "$(ulimit -Hn)"

work=$(mktemp -d)
nodes=(9220 9221)
first=9230
declare -A pid=()
stop() {
  exec 4>&- || true
  kill -TERM "${pid[@]}" 2> /dev/null || true
  wait
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

dotnet build PolicyLoad --configuration Release --output "$work/load" --nologo --verbosity quiet >&2
case " ${proxies[*]} " in *" yarp "*)
  dotnet build YarpProxy --configuration Release --output "$work/yarp" --nologo --verbosity quiet >&2 ;;
esac
dotnet build ../LoadBalancer --configuration Release --nologo --verbosity quiet >&2

ports() { seq "$first" $((first + servers - 1)); }

write_nginx() { # PORT METHOD
  cat > "$work/$1.conf" <<END2
daemon off; user root; worker_processes 1; pid $work/$1.pid; error_log $work/$1.log crit; events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 100000000;
  upstream web {
    zone web 1m; $2;
    $(ports | sed 's/.*/server 127.0.0.1:&;/' | tr '\n' ' ')
    keepalive 1024; keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:$1 backlog=4096;
    location / { proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
END2
}

write_haproxy() { # PORT
  cat > "$work/$1.conf" <<END2
global
  nbthread 1
  maxconn 10500
  no strict-limits
  log /dev/null local0 emerg
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend web
  bind 127.0.0.1:$1 backlog 4096
  default_backend web
backend web
  balance leastconn
  http-reuse always
  $(ports | sed 's/.*/server b& 127.0.0.1:&/' | sed '2,$s/^/  /')
END2
}

write_ours() { # PORT POLICY LIMIT
  cat > "$work/$1.json" <<END2
{ "LoadBalancer": {
  "Listeners": { "web": { "Address": "http://127.0.0.1:$1", "Pool": "web", "AccessLog": "Off" } },
  "Pools": { "web": { "Policy": "$2", $3
    "Backends": { $(ports | sed 's/.*/"b&": { "Address": "http:\/\/127.0.0.1:&" }/' | paste -sd,) } } } } }
END2
}

start() { # PROXY PORT
  case $1 in
    haproxy) write_haproxy "$2"; exec haproxy -db -f "$work/$2.conf" ;;
    nginx) write_nginx "$2" least_conn; exec nginx -p "$work" -c "$work/$2.conf" ;;
    nginx-random2) write_nginx "$2" "random two least_conn"; exec nginx -p "$work" -c "$work/$2.conf" ;;
    yarp) exec dotnet "$work/yarp/YarpProxy.dll" "$2" PowerOfTwoChoices "$first" "$servers" ;;
    *)
      local limit=
      [[ $1 != *+Auto ]] || limit='"MaxInFlight": "Auto",'
      write_ours "$2" "${1%+Auto}" "$limit"
      exec dotnet ../LoadBalancer/bin/Release/net10.0/LoadBalancer.dll --config "$work/$2.json"
      ;;
  esac > "$work/$2.out" 2>&1 < /dev/null
}

measure() { # SCENARIO PROXY PERCENT: the servers begin anew, so that all proxies see the same disturbances
  local port
  mkfifo "$work/end"
  dotnet "$work/load/PolicyLoad.dll" serve "$1" "$first" "$servers" < "$work/end" > "$work/capacity" &
  pid[servers]=$!
  exec 4> "$work/end"
  rm "$work/end"
  for port in "${nodes[@]}"; do
    start "$2" "$port" 4>&- &
    pid[$port]=$!
  done
  for port in "${nodes[@]}"; do
    until [ -s "$work/capacity" ] && curl --silent --fail --output /dev/null --max-time 5 "http://127.0.0.1:$port/"; do
      kill -0 "${pid[servers]}" && kill -0 "${pid[$port]}" || { echo "$2 does not answer:" >&2; cat "$work/$port.out" >&2; exit 1; }
      sleep 0.1
    done
  done
  capacity=$(< "$work/capacity")
  dotnet "$work/load/PolicyLoad.dll" load "$(awk -v c="$capacity" -v p="$3" 'BEGIN { print c * p / 100 }')" \
    "$warm" "$seconds" "${nodes[@]}" > "$work/result"
  for port in "${nodes[@]}"; do kill -TERM "${pid[$port]}"; done
  for port in "${nodes[@]}"; do wait "${pid[$port]}" || true; unset "pid[$port]"; done
  exec 4>&-
  wait "${pid[servers]}" || true
  unset "pid[servers]"
  read -r requests p50 p99 p999 failed good < "$work/result"
}

for scenario in "${scenarios[@]}"; do
  echo "**$scenario**: $servers servers, two nodes, $seconds s after $warm s"
  echo
  echo "| proxy | p50, ms, at $load % | p99 | p99.9 | failed | p99, ms, at $overload % | failed | within 1 s, of the capacity |"
  echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
  for proxy in "${proxies[@]}"; do
    echo "measuring: $scenario, $proxy" >&2
    measure "$scenario" "$proxy" "$load"
    printf '| %s | %s | %s | %s | %s of %s |' "$proxy" "$p50" "$p99" "$p999" "$failed" "$requests"
    measure "$scenario" "$proxy" "$overload"
    printf ' %s | %s of %s | %s %% |\n' "$p99" "$failed" "$requests" \
      "$(awk -v g="$good" -v c="$capacity" 'BEGIN { printf "%.0f", 100 * g / c }')"
  done
  echo
done
