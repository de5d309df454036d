#!/usr/bin/env bash
# Counts what clients lose while the proxy that serves them is replaced: nginx by USR2, HAProxy by -x and -sf, this load balancer by
# `upgrade`, by a reload in which each listener takes the address of another one, and by a restart with and without a service manager that
# keeps the sockets. Prints a Markdown table of requests and failures; a request that gets no answer, a connection that is refused, and one
# that is reset each count as a failure.
#
#   bench/replace.sh [--seconds S] [--replacements N] [KIND...]
#   kinds: new keep-alive https h2 tcp
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=6      # of load for each cell of the table
replacements=2 # meanwhile
kinds=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --replacements) replacements=$2; shift 2 ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) kinds+=("$1"); shift ;;
  esac
done
[ ${#kinds[@]} -gt 0 ] || kinds=(new keep-alive https h2 tcp)

missing=()
for tool in nginx haproxy wrk curl openssl; do
  command -v "$tool" > /dev/null || missing+=("$tool")
done
[ -e /usr/share/nginx/modules/ngx_stream_module.so ] || missing+=(libnginx-mod-stream)
if [ ${#missing[@]} -gt 0 ]; then
  echo "bench/replace.sh needs ${missing[*]} (Debian: apt-get install ${missing[*]})" >&2
  exit 1
fi

work=$(mktemp -d)
backend=9200 echo=9201 plain=9202 secure=9203 tcp=9204 management=9205 spare=9210
binary=$PWD/../LoadBalancer/bin/Release/net10.0/LoadBalancer.dll
ours_pid=

stop() {
  stop_nginx; stop_haproxy; stop_ours
  [ -z "${echo_pid:-}" ] || kill "$echo_pid" 2> /dev/null || true
  [ ! -s "$work/backend.pid" ] || kill "$(cat "$work/backend.pid")" 2> /dev/null || true
  wait
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

answers() { curl -fsS -o /dev/null --max-time 1 "http://127.0.0.1:$1/small" 2> /dev/null; }

until_it_answers() { # PORT WHAT
  local i
  for ((i = 0; i < 200; i++)); do
    if answers "$1"; then return; fi
    sleep 0.05
  done
  echo "$2 does not answer on port $1" >&2
  exit 1
}

gone() { # PID: waits until it has ended, for a while
  local i
  for ((i = 0; i < 100; i++)); do
    kill -0 "$1" 2> /dev/null || return 0
    sleep 0.05
  done
}

write_configurations() {
  mkdir -p "$work/www"
  printf '%0103d\n' 0 > "$work/www/small"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key.pem" -out "$work/cert.pem" -days 2 \
    -subj /CN=localhost 2> /dev/null
  cat "$work/cert.pem" "$work/key.pem" > "$work/both.pem"
  cat > "$work/backend.conf" <<END
user root; worker_processes 1; pid $work/backend.pid; error_log $work/backend.log crit;
events { worker_connections 4096; }
http {
  access_log off; keepalive_timeout 300; keepalive_requests 100000000;
  server { listen 127.0.0.1:$backend backlog=4096; root $work/www; }
}
END
  cat > "$work/nginx.conf" <<END
load_module modules/ngx_stream_module.so;
user root; worker_processes 2; pid $work/nginx.pid; error_log $work/nginx.log crit;
events { worker_connections 4096; }
http {
  access_log off; keepalive_timeout 300; keepalive_requests 100000000;
  upstream web { server 127.0.0.1:$backend; keepalive 64; }
  server {
    listen 127.0.0.1:$plain backlog=4096; listen 127.0.0.1:$secure ssl http2 backlog=4096;
    ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem;
    location / { proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
stream { server { listen 127.0.0.1:$tcp backlog=4096; proxy_pass 127.0.0.1:$echo; } }
END
  cat > "$work/haproxy.conf" <<END
global
  nbthread 2
  maxconn 4000
  no strict-limits
  log /dev/null local0 emerg
  stats socket $work/haproxy.sock mode 600 level admin expose-fd listeners
  hard-stop-after 30s
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend web
  bind 127.0.0.1:$plain backlog 4096
  bind 127.0.0.1:$secure backlog 4096 ssl crt $work/both.pem alpn h2,http/1.1
  default_backend web
backend web
  server backend 127.0.0.1:$backend
listen relay
  mode tcp
  bind 127.0.0.1:$tcp backlog 4096
  server backend 127.0.0.1:$echo
END
  write_ours 0 1
}

write_ours() { # ONE OTHER: 0 1, or 1 0 after each listener has taken the address of another one
  local plains=("$plain" "$spare") secures=("$secure" $((spare + 1))) tcps=("$tcp" $((spare + 2)))
  local certificate="\"Certificates\": [ { \"File\": \"$work/cert.pem\", \"KeyFile\": \"$work/key.pem\" } ]"
  swapped=$1
  cat > "$work/ours.json.new" <<END
{ "LoadBalancer": {
  "Listeners": {
    "web": { "Address": "http://127.0.0.1:${plains[$1]}", "Pool": "web" },
    "web2": { "Address": "http://127.0.0.1:${plains[$2]}", "Pool": "web" },
    "secure": { "Address": "https://127.0.0.1:${secures[$1]}", "Pool": "web", $certificate },
    "secure2": { "Address": "https://127.0.0.1:${secures[$2]}", "Pool": "web", $certificate },
    "relay": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:${tcps[$1]}", "Pool": "echo" },
    "relay2": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:${tcps[$2]}", "Pool": "echo" } },
  "Pools": {
    "web": { "Backends": { "backend": { "Address": "http://127.0.0.1:$backend" } } },
    "echo": { "Backends": { "backend": { "Address": "tcp://127.0.0.1:$echo" } } } },
  "Management": { "Address": "http://127.0.0.1:$management" } } }
END
  mv "$work/ours.json.new" "$work/ours.json" # at once: the file is looked at while it runs
}

# --- the proxies ----------------------------------------------------------------------------------------------------------------------

start_nginx() { "$(command -v nginx)" -c "$work/nginx.conf"; } # it starts its first word anew, without looking for it
replace_nginx() {
  local old
  old=$(cat "$work/nginx.pid")
  kill -USR2 "$old"
  local i
  for ((i = 0; i < 100; i++)); do
    [ "$(cat "$work/nginx.pid" 2> /dev/null || echo "$old")" = "$old" ] || break
    sleep 0.05
  done
  sleep 0.3 # until its workers accept
  kill -QUIT "$old"
}
stop_by() { # FILE: ends the process whose number is in it
  [ -s "$1" ] || return 0
  local one
  one=$(cat "$1")
  kill "$one" 2> /dev/null || true
  gone "$one"
  rm -f "$1"
}
stop_nginx() { stop_by "$work/nginx.pid"; }

start_haproxy() { haproxy -D -W -f "$work/haproxy.conf" -p "$work/haproxy.pid" > "$work/haproxy.log" 2>&1; }
replace_haproxy() { kill -USR2 "$(cat "$work/haproxy.pid")"; sleep 0.3; } # its master starts a process with -x and -sf
stop_haproxy() { stop_by "$work/haproxy.pid"; }

ours() { dotnet "$binary" "$@" --management "http://127.0.0.1:$management"; }
start_ours() {
  dotnet "$binary" --config "$work/ours.json" < /dev/null >> "$work/ours.log" 2>&1 &
  ours_pid=$!
}
stop_ours() {
  [ -n "$ours_pid" ] || return 0
  kill "$ours_pid" 2> /dev/null || true
  gone "$ours_pid"
  ours_pid=
}
replace_upgrade() {
  local answer
  answer=$(curl -fsS -X POST "http://127.0.0.1:$management/api/upgrade") || { tail -5 "$work/ours.log" >&2; return 1; }
  ours_pid=$(sed -n 's/.*"process":\([0-9]*\).*/\1/p' <<< "$answer")
}
replace_restart() { stop_ours; start_ours; }
start_held() {
  /usr/bin/python3 hold_sockets.py "$plain" "$secure" "$tcp" -- dotnet "$binary" --config "$work/ours.json" \
    < /dev/null >> "$work/ours.log" 2>&1 &
  ours_pid=$!
}
stop_held() { stop_ours; }
replace_held() { kill -HUP "$ours_pid"; sleep 1.5; } # it ends within a second or two
replace_reload() {
  if [ "$swapped" = 0 ]; then write_ours 1 0; else write_ours 0 1; fi
  curl -fsS -o /dev/null -X POST "http://127.0.0.1:$management/api/reload"
}

# --- the clients: print requests and failures ---------------------------------------------------------------------------------------------

wrk_load() { # URL [ARGUMENTS]
  wrk -t1 -c16 -d"${seconds}s" "${@:2}" "$1" | awk '
    / requests in / { requests = $1 }
    /Socket errors/ { gsub(",", ""); failures += $4 + $6 + $8 + $10 }
    /Non-2xx/ { failures += $NF }
    END { print requests + 0, failures + 0 }'
}

load() { # KIND
  case $1 in
    new) wrk_load "http://127.0.0.1:$plain/small" -H "Connection: close" ;;
    keep-alive) wrk_load "http://127.0.0.1:$plain/small" ;;
    https) wrk_load "https://127.0.0.1:$secure/small" ;;
    h2) dotnet "$work/peer/TcpPeer.dll" h2 "$secure" 8 "$seconds" 2>> "$work/h2.log" ;;
    tcp) dotnet "$work/peer/TcpPeer.dll" replace "$tcp" 16 "$seconds" ;;
  esac
}

cell() { # KIND REPLACEMENT: prints a cell of the table
  load "$1" > "$work/load.out" &
  local client=$! i
  for ((i = 1; i <= replacements; i++)); do
    sleep "$(awk "BEGIN { print $seconds / ($replacements + 1) - 0.4 }")"
    "replace_$2"
  done
  wait "$client" || true
  awk '{ printf " %d / %d |", $1, $2 }' "$work/load.out"
}

row() { # TITLE PROXY REPLACEMENT
  local kind
  "start_$2"
  until_it_answers "$plain" "$2"
  printf '| %s |' "$1"
  for kind in "${kinds[@]}"; do cell "$kind" "$3"; done
  echo
  "stop_$2"
}

build() { dotnet build --nologo --verbosity quiet "$@" > "$work/build.log" || { cat "$work/build.log" >&2; exit 1; }; }
build ../LoadBalancer --configuration Release
build TcpPeer --output "$work/peer"
write_configurations
nginx -c "$work/backend.conf"
dotnet "$work/peer/TcpPeer.dll" serve "$echo" > /dev/null &
echo_pid=$!
until_it_answers "$backend" "the backend"

echo "Requests / failures in $seconds s with $replacements replacements:"
echo
printf '| replaced by |'; printf ' %s |' "${kinds[@]}"; echo
printf '| --- |'; printf ' ---: |%.0s' "${kinds[@]}"; echo
row "nginx: USR2, then QUIT" nginx nginx
row "HAProxy: \`-x\`, \`-sf\`" haproxy haproxy
row "LoadBalancer: \`upgrade\`" ours upgrade
row "LoadBalancer: restart, sockets kept by systemd" held held
row "LoadBalancer: reload, listeners exchange their addresses" ours reload
row "LoadBalancer: restart" ours restart
