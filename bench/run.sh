#!/usr/bin/env bash
# Measures this load balancer beside nginx and HAProxy, all three in front of the same backend (nginx) in one run, and prints the
# results as a Markdown table. README.md says what its rows mean.
#
#   bench/run.sh [--rounds N] [--seconds S] [--compare FILE] [SCENARIO...]
#   scenarios: small many large gzip log routes logins traces idle huge start policies tcp broker h2 grpc tls
#
#   --compare  fails where a ratio to nginx is more than 5 % worse than in FILE, which has a table as this script prints it
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"

rounds=5
seconds=3
recorded=
scenarios=()
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --compare)
      recorded=$(cd "$called_from" && realpath -- "$2")
      [ -r "$recorded" ] || { echo "bench/run.sh: --compare $2: there is no such file" >&2; exit 1; }
      shift 2 ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) scenarios+=("$1"); shift ;;
  esac
done
[ ${#scenarios[@]} -gt 0 ] || scenarios=(small many large gzip log routes logins traces idle huge start policies tcp broker h2 grpc tls)

missing=()
for tool in nginx haproxy wrk curl; do
  command -v "$tool" > /dev/null || missing+=("$tool")
done
case " ${scenarios[*]} " in *" h2 "* | *" grpc "* | *" logins "*) command -v h2load > /dev/null || missing+=(nghttp2-client) ;; esac
case " ${scenarios[*]} " in *" logins "*) command -v htpasswd > /dev/null || missing+=(apache2-utils) ;; esac
if [ ${#missing[@]} -gt 0 ]; then
  echo "bench/run.sh needs ${missing[*]} (Debian: apt-get install ${missing[*]})" >&2
  exit 1
fi
ulimit -n 65536 2> /dev/null || ulimit -n "$(ulimit -Hn)" # 10,000 connections may be 20,000 files for a proxy

work=$(mktemp -d)
results=$work/results # scenario, proxy, measure, value
policies=(RoundRobin LeastConnections ResponseTime IpHash Random PowerOfTwoChoices First HotCold)
fields=() # what wrk sends
declare -A pid port=(
  [nginx]=9101 [haproxy]=9102 [ours]=9103 [ours+log]=9104 [nginx+log]=9105 [nginx+gzip]=9148 [ours+gzip]=9149
  [backend+tcp]=9130 [nginx+tcp]=9131 [haproxy+tcp]=9132 [ours+tcp]=9133)

source ./http2.sh
source ./routes.sh
source ./tables.sh

stop() {
  kill -TERM "${pid[@]}" 2> /dev/null || true
  wait
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

# --- the programs -------------------------------------------------------------------------------------------------------------------

write_configurations() {
  mkdir -p "$work/www/api"
  printf '%0103d\n' 0 | tee "$work/www/small" > "$work/www/api/small"
  head -c 1048576 /dev/zero > "$work/www/large"
  awk 'BEGIN {
    srand(1)
    for (; size < 1e6; size += length(row)) {
      row = sprintf("{\"id\":%d,\"name\":\"user%d\",\"mail\":\"user%d@example.com\",\"price\":%.2f,\"tags\":[%d,%d],\"key\":\"%x\"},\n",
        i++, rand() * 1e3, rand() * 1e5, rand() * 1e3, rand() * 9, rand() * 9, rand() * 2 ^ 31)
      printf "%s", row
    }
  }' > "$work/www/json"
  truncate -s 1G "$work/www/huge"
  cat > "$work/backend.conf" <<END
daemon off; user root; worker_processes 2; worker_rlimit_nofile 65536; pid $work/backend.pid; error_log $work/backend.log crit;
events { worker_connections 16384; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_timeout 300; keepalive_requests 100000000; client_max_body_size 0;
  server {
    listen 127.0.0.1:9100 backlog=4096; listen 127.0.0.1:9106 backlog=4096; root $work/www;
    location = /json { default_type application/json; }
    location = /upload { client_body_buffer_size 64k; return 200 "thanks\n"; }
  }
}
END
  write_nginx nginx "access_log off"
  write_nginx nginx+log "access_log $work/nginx-access.log"
  write_nginx nginx+gzip "access_log off; gzip on; gzip_comp_level 1; gzip_types application/json; gzip_proxied any"
  write_haproxy haproxy "" 127.0.0.1:9100 http
  local policy
  write_ours ours Off RoundRobin '"backend": { "Address": "http://127.0.0.1:9100" }'
  write_ours ours+log "$work/ours-access.log" RoundRobin '"backend": { "Address": "http://127.0.0.1:9100" }'
  write_ours ours+gzip Off RoundRobin '"backend": { "Address": "http://127.0.0.1:9100" }' '"Compression": {},'
  for policy in "${policies[@]}"; do
    port[policy+$policy]=$((9170 + ${#port[@]}))
    write_ours "policy+$policy" Off "$policy" '"one": { "Address": "http://127.0.0.1:9100" }, "two": { "Address": "http://127.0.0.1:9106" }'
  done
}

write_haproxy() { # NAME BIND SERVER SCHEME
  cat > "$work/$1.conf" <<END
global
  nbthread 2
  maxconn 10500
  no strict-limits
  log /dev/null local0 emerg
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 60s
  timeout http-keep-alive 300s
  option forwardfor
frontend web
  bind 127.0.0.1:${port[$1]} backlog 4096 $2
  http-request set-header X-Forwarded-Proto $4
  http-request set-header X-Forwarded-Host %[req.hdr(Host)]
  default_backend web
backend web
  http-reuse always
  server backend $3
END
}

write_tcp_configurations() {
  cat > "$work/nginx+tcp.conf" <<END
load_module $stream_module;
daemon off; user root; worker_processes 2; worker_rlimit_nofile 65536; pid $work/nginx+tcp.pid; error_log $work/nginx+tcp.log crit;
events { worker_connections 32768; }
stream {
  server { listen 127.0.0.1:${port[nginx+tcp]} backlog=4096; proxy_pass 127.0.0.1:${port[backend+tcp]}; proxy_timeout 1h; tcp_nodelay on; }
}
END
  cat > "$work/haproxy+tcp.conf" <<END
global
  nbthread 2
  maxconn $((($(ulimit -n) - 100) / 2))
  no strict-limits
  log /dev/null local0 emerg
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend chat
  bind 127.0.0.1:${port[haproxy+tcp]} backlog 4096
  default_backend logic
backend logic
  server backend 127.0.0.1:${port[backend+tcp]}
END
  cat > "$work/ours+tcp.json" <<END
{ "LoadBalancer": {
  "Listeners": { "chat": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:${port[ours+tcp]}", "Pool": "logic" } },
  "Pools": { "logic": { "Backends": { "backend": { "Address": "tcp://127.0.0.1:${port[backend+tcp]}" } } } } } }
END
}

write_nginx() { # NAME ACCESS_LOG
  cat > "$work/$1.conf" <<END
daemon off; user root; worker_processes 2; worker_rlimit_nofile 65536; pid $work/$1.pid; error_log $work/$1.log crit;
events { worker_connections 16384; }
http {
  $2; keepalive_timeout 300; keepalive_requests 100000000; client_max_body_size 0;
  upstream web { server 127.0.0.1:9100; keepalive 1024; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port[$1]} backlog=4096;
    location / {
      proxy_pass http://web; proxy_http_version 1.1; proxy_request_buffering off;
      proxy_set_header Connection ""; proxy_set_header Host \$http_host;
      proxy_set_header X-Forwarded-For \$remote_addr; proxy_set_header X-Forwarded-Proto \$scheme;
      proxy_set_header X-Forwarded-Host \$http_host;
    }
  }
}
END
}

write_ours() { # NAME ACCESS_LOG POLICY BACKENDS [LISTENER_SETTINGS]
  cat > "$work/$1.json" <<END
{ "LoadBalancer": {
  "Listeners": { "web": {
    ${5:-} "Address": "http://127.0.0.1:${port[$1]}", "Pool": "web", "AccessLog": "$2", "KeepAliveTimeout": "00:05:00" } },
  "Pools": { "web": { "Policy": "$3", "Backends": { $4 } } } } }
END
}

tcp_peer() { DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS=1 exec dotnet "$work/peer/TcpPeer.dll" "$@"; }
load_balancer() { exec dotnet ../LoadBalancer/bin/Release/net10.0/LoadBalancer.dll "$@" < /dev/null; }

start() { # NAME: starts it and waits for its first answer
  case $1 in
    backend) nginx -p "$work" -c "$work/backend.conf" & ;;
    backend+grpc) nginx -p "$work" -c "$work/$1.conf" & ;;
    backend+tcp) tcp_peer serve "${port[$1]}" > "$work/$1.log" 2>&1 & ;;
    nginx*) nginx -p "$work" -c "$work/$1.conf" & ;;
    haproxy*) haproxy -db -f "$work/$1.conf" > "$work/$1.log" 2>&1 & ;;
    ours* | policy+*) load_balancer --config "$work/$1.json" > "$work/$1.log" 2>&1 & ;;
  esac
  pid[$1]=$!
  local url="http://127.0.0.1:${port[$1]:-9100}/small" i
  for ((i = 0; i < 2000; i++)); do
    kill -0 "${pid[$1]}" 2> /dev/null || break # its port is taken, for one
    if answers "$1" "$url"; then return; fi
    sleep 0.005
  done
  echo "$1 does not answer on $url" >&2
  cat "$work/$1.log" >&2
  exit 1
}

answers() { # NAME URL
  case $1 in
    *+h2 | *+grpc) http2_answers "$1" ;;
    *+tcp)
      timeout 5 bash -c "exec 3<> /dev/tcp/127.0.0.1/${port[$1]} && echo hello >&3 && read -r answer <&3 && [ \"\$answer\" = hello ]" \
        2> /dev/null
      ;;
    *) curl --silent --fail --output /dev/null --max-time 5 "$2" ;;
  esac
}

end() { # NAME
  kill -TERM "${pid[$1]}"
  wait "${pid[$1]}" || true
  unset "pid[$1]"
}

# --- measurements of a process and its children --------------------------------------------------------------------------------------

family() { echo "${pid[$1]}"; pgrep -P "${pid[$1]}" || true; }
cpu_ticks() { for p in $(family "$1"); do sed 's/.*) //' "/proc/$p/stat"; done | awk '{ sum += $12 + $13 } END { print sum }'; }
memory_kb() { for p in $(family "$1"); do grep -E "^$2:" "/proc/$p/status"; done | awk '{ sum += $2 } END { print sum }'; }
record() { printf '%s\t%s\t%s\t%s\n' "$@" >> "$results"; }

load() { # SCENARIO PROXY CONNECTIONS PATH: one round
  local before after
  before=$(cpu_ticks "$2")
  wrk -t1 -c"$3" -d"${seconds}s" --timeout 10s --latency "${fields[@]}" "http://127.0.0.1:${port[$2]}/$4" > "$work/wrk"
  after=$(cpu_ticks "$2")
  awk -v scenario="$1" -v proxy="$2" -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" '
    function ms(text) { return text ~ /us$/ ? text / 1000 : text ~ /ms$/ ? text + 0 : text * 1000 }
    $1 == "99%" { p99 = ms($2) }
    $2 == "requests" && $3 == "in" { requests = $1; time = ms($4) / 1000 }
    /Socket errors|Non-2xx/ { errors = errors " " $0 }
    END {
      OFS = "\t"
      print scenario, proxy, "requests/s", requests / time
      print scenario, proxy, "CPU µs/request", ticks / hz * 1e6 / requests
      print scenario, proxy, "99th percentile, ms", p99
      if (errors != "") print scenario, proxy, "errors:" errors > "/dev/stderr"
    }' "$work/wrk" >> "$results"
}

interleave() { # SCENARIO CONNECTIONS PATH PROXY...
  local scenario=$1 connections=$2 path=$3 round proxy
  shift 3
  for proxy in "$@"; do wrk -t1 -c"$connections" -d3s "${fields[@]}" "http://127.0.0.1:${port[$proxy]}/$path" > /dev/null; done # warm up
  for ((round = 0; round < rounds; round++)); do
    for proxy in "$@"; do load "$scenario" "$proxy" "$connections" "$path"; done
  done
}

# --- the scenarios --------------------------------------------------------------------------------------------------------------------

small() { interleave "104 bytes, 64 connections" 64 small nginx haproxy ours; }
many() { interleave "104 bytes, 1,000 connections" 1000 small nginx haproxy ours; }
large() { interleave "1 MB, 32 connections" 32 large nginx haproxy ours; }

gzip() {
  start nginx+gzip
  start ours+gzip
  fields=(-H "Accept-Encoding: gzip")
  interleave "1 MB of JSON, gzip level 1, 32 connections" 32 json nginx+gzip ours+gzip
  fields=()
  end nginx+gzip
  end ours+gzip
}

log() {
  start nginx+log
  start ours+log
  interleave "104 bytes, 64 connections, access log" 64 small nginx nginx+log ours ours+log
  end nginx+log
  end ours+log
}

idle() { # memory of a new process for 10,000 connections that have sent one request each and been idle for 15 s
  local proxy before opener
  for proxy in nginx haproxy ours; do
    end "$proxy"
    start "$proxy"
    before=$(memory_kb "$proxy" VmRSS)
    coproc opener { exec dotnet "$work/idle/IdleConnections.dll" 127.0.0.1 "${port[$proxy]}" 10000; }
    read -r _ <&"${opener[0]}" # all are open
    sleep 15 # what is only let go of after a while is not what an idle connection costs
    record "10,000 idle connections" "$proxy" "memory in all, MB" "$(($(memory_kb "$proxy" VmRSS) / 1024))"
    record "10,000 idle connections" "$proxy" "more than before, MB" "$((($(memory_kb "$proxy" VmRSS) - before) / 1024))"
    echo >&"${opener[1]}"
    wait "$opener_PID" || true
  done
}

huge() { # the most memory ever used, before and after 1 GB has passed each way
  local proxy before
  for proxy in nginx haproxy ours; do
    curl --silent --fail --output /dev/null "http://127.0.0.1:${port[$proxy]}/large"
    before=$(memory_kb "$proxy" VmHWM)
    curl --silent --fail --output /dev/null "http://127.0.0.1:${port[$proxy]}/huge"
    record "1 GB down and up" "$proxy" "memory grown by downloading, MB" "$((($(memory_kb "$proxy" VmHWM) - before) / 1024))"
    before=$(memory_kb "$proxy" VmHWM)
    curl --silent --fail --output /dev/null --header "Expect:" --header "Transfer-Encoding: chunked" --upload-file "$work/www/huge" \
      "http://127.0.0.1:${port[$proxy]}/upload"
    record "1 GB down and up" "$proxy" "memory grown by uploading, MB" "$((($(memory_kb "$proxy" VmHWM) - before) / 1024))"
  done
}

start_up() {
  local proxy round from
  for ((round = 0; round < rounds; round++)); do
    for proxy in nginx haproxy ours; do
      end "$proxy"
      from=$(date +%s%N)
      start "$proxy"
      record "process start" "$proxy" "to the first answer, ms" "$((($(date +%s%N) - from) / 1000000))"
    done
  done
}

policies() { # the same load on two backends, chosen by one policy after the other
  local policy names=()
  for policy in "${policies[@]}"; do
    start "policy+$policy"
    names+=("policy+$policy")
  done
  interleave "policies" 64 small "${names[@]}"
  for policy in "${names[@]}"; do end "$policy"; done
}

tcp() {
  local proxy round opener connections=$(($(ulimit -n) * 7 / 16 - 250)) # each is two files, and some must be left
  [ "$connections" -lt 10000 ] || connections=10000
  for proxy in nginx haproxy ours; do # memory first, of processes that have done nothing else
    start "$proxy+tcp"
    coproc opener { exec dotnet "$work/peer/TcpPeer.dll" idle "${port[$proxy+tcp]}" "$connections"; }
    read -r _ <&"${opener[0]}" || { cat "$work/$proxy+tcp.log" >&2; exit 1; }
    sleep 5
    record "TCP: $connections idle connections" "$proxy" "memory in all, MB" "$(($(memory_kb "$proxy+tcp" VmRSS) / 1024))"
    echo >&"${opener[1]}"
    wait "$opener_PID" || true
    end "$proxy+tcp"
    start "$proxy+tcp"
  done
  for ((round = -1; round < rounds; round++)); do # the first to warm up
    for proxy in nginx haproxy ours; do
      tcp_load "$round" "TCP: bulk, 8 connections" "$proxy" MB 1e6 bulk 8
      tcp_load "$round" "TCP: connect, exchange 64 bytes, close; 64 at a time" "$proxy" connections 1 connect 64
      tcp_load "$round" "TCP: 64 bytes there and back, 256 connections" "$proxy" exchanges 1 turns 256
    done
  done
  for proxy in nginx haproxy ours; do end "$proxy+tcp"; done
}

tcp_load() { # ROUND SCENARIO PROXY UNIT SIZE WHAT CONNECTIONS
  (tcp_peer "$6" "${port[$3+tcp]}" "$7" "$seconds" $(family "$3+tcp")) > "$work/peer.out"
  [ "$1" -lt 0 ] || awk -v scenario="$2" -v proxy="$3" -v unit="$4" -v size="$5" '{
    OFS = "\t"
    print scenario, proxy, unit "/s", $1 / size / $2
    print scenario, proxy, "CPU µs/" (unit == "MB" ? unit : substr(unit, 1, length(unit) - 1)), $3 * 1e6 / ($1 / size)
  }' "$work/peer.out" >> "$results"
}

dotnet build ../LoadBalancer --configuration Release --nologo --verbosity quiet
write_configurations
case " ${scenarios[*]} " in *" h2 "* | *" grpc "*) write_http2_configurations ;; esac
case " ${scenarios[*]} " in *" routes "* | *" logins "*) write_route_configurations ;; esac
case " ${scenarios[*]} " in *" idle "*) dotnet build IdleConnections --output "$work/idle" --nologo --verbosity quiet ;; esac
case " ${scenarios[*]} " in
  *" tcp "*)
    stream_module=$(nginx -V 2>&1 | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p')/ngx_stream_module.so
    if [ ! -e "$stream_module" ]; then
      echo "the scenario tcp needs nginx's module stream (Debian: apt-get install libnginx-mod-stream)" >&2
      exit 1
    fi
    dotnet build TcpPeer --configuration Release --output "$work/peer" --nologo --verbosity quiet
    write_tcp_configurations
    start backend+tcp
    ;;
esac
if [ "${scenarios[*]}" != tcp ]; then
  for name in backend nginx haproxy ours; do start "$name"; done
fi
for scenario in "${scenarios[@]}"; do
  echo "measuring: $scenario" >&2
  case $scenario in
    start) start_up ;;
    broker) ./broker.sh --rounds "$rounds" --seconds "$seconds" > "$work/broker.md" ;; # a table of its own
    tls) ./tls.sh --rounds "$rounds" --seconds "$seconds" > "$work/tls.md" ;; # the same
    small | many | large | gzip | log | routes | logins | traces | idle | huge | policies | tcp | h2 | grpc) "$scenario" ;;
    *) echo "no scenario '$scenario'" >&2; exit 1 ;;
  esac
done
touch "$results"
if grep -qv '^policies' "$results"; then print_table | tee "$work/table.md"; fi
if grep -q '^policies' "$results"; then print_policies; fi
if [ -s "$work/broker.md" ]; then echo; cat "$work/broker.md"; fi
if [ -s "$work/tls.md" ]; then echo; cat "$work/tls.md"; fi
if [ -n "$recorded" ]; then
  touch "$work/table.md"
  echo
  compare "$recorded" "$work/table.md"
fi
