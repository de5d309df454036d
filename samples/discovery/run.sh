#!/usr/bin/env bash
# Builds and starts a DNS server (dnsmasq), two backends that have the same name there, and the load balancer, which finds them by it.
# Lines that are typed change how many backends there are: "scale 5". Ctrl+C stops everything. Linux only: the backends need addresses
# of their own, 127.0.0.11 and so on.
#
#   ./run.sh [--demo]      --demo: scales up and down while requests are sent, and ends; the exit code is 0 if no request failed
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../programs.sh

case ${1:-} in
  '' | --demo) ;;
  *) sed -n '2,6s/^# \{0,1\}//p' run.sh; exit 0 ;;
esac

dnsmasq=$(PATH=$PATH:/usr/sbin command -v dnsmasq) || { echo "dnsmasq is missing; on Debian: apt-get install dnsmasq-base" >&2; exit 1; }
most=20
require_free 9401 127.0.0.11
for port in 9453 9470 9471; do
  require_free "$port"
done
for project in ../../Backend1 ../../LoadBalancer; do
  build "$project"
done

work=$(mktemp -d)
servers=() # process ids: the first is at 127.0.0.11, the next at 127.0.0.12

stop_all() {
  touch "$work/end"
  pids+=(${servers[@]+"${servers[@]}"})
  stop
  rm -rf "$work"
}
trap stop_all EXIT

name_servers() { # COUNT: tells the DNS server how many addresses the name has
  local i
  for ((i = 0; i < $1; i++)); do
    echo "127.0.0.$((11 + i)) app.internal"
  done > "$work/hosts.new"
  mv "$work/hosts.new" "$work/hosts"
}

members() { # how many the load balancer knows
  curl --silent --max-time 5 http://127.0.0.1:9471/api/pools/web/backends | grep -o '"name"' | wc -l
}
has_members() { [ "$(members)" -eq "$1" ]; }
is_served() { curl --silent --fail --max-time 5 --output /dev/null "http://127.0.0.$1:9401/"; }

scale() { # COUNT
  local i before=${#servers[@]}
  for ((i = before; i < $1; i++)); do # New servers are named once they serve.
    start "app$((i + 1))" ../../Backend1 --urls "http://127.0.0.$((11 + i)):9401"
    servers+=("${pids[-1]}")
    unset 'pids[-1]' # stopped by this function, or at the end
    wait_for "${servers[i]}" is_served $((11 + i))
  done
  name_servers "$1"
  kill -HUP "${pids[0]}"
  wait_for "${pids[1]}" has_members "$1"
  for ((i = before - 1; i >= $1; i--)); do # Those that are no longer named finish what they have.
    kill -TERM "${servers[i]}"
    wait "${servers[i]}" || true
    unset "servers[i]"
  done
  echo "there are $1 backends now"
}

name_servers 0
"$dnsmasq" --no-daemon --conf-file=/dev/null --pid-file= --user= --no-resolv --no-hosts --local=/internal/ --addn-hosts="$work/hosts" \
  --local-ttl=1 --listen-address=127.0.0.1 --bind-interfaces --port=9453 --log-facility=/dev/null < /dev/null 2> /dev/null &
pids+=($!)
start loadbalancer ../../LoadBalancer --config loadbalancer.json
wait_for "${pids[1]}" is_open 9471
scale 2

if [ "${1:-}" = --demo ]; then
  (
    while [ ! -e "$work/end" ]; do
      curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}\n' http://127.0.0.1:9470/ || true
    done > "$work/codes"
  ) &
  client=$!
  for count in 5 1 3 10 2; do
    sleep 2
    scale "$count"
  done
  sleep 1
  touch "$work/end"
  wait "$client"
  failed=$(grep -cv '^200$' "$work/codes") || true
  echo "$(wc -l < "$work/codes") requests, $failed failed"
  [ "$failed" -eq 0 ]
  exit
fi

cat <<EOF
Try:  scale 5                            more backends, up to $most; then fewer
      curl http://127.0.0.1:9470/        an answer of one of them
      a browser at http://127.0.0.1:9471 the dashboard
Ctrl+C stops everything.
EOF
while read -r command count; do
  if [ "$command" = scale ] && [[ $count =~ ^[1-9][0-9]?$ ]] && [ "$count" -le "$most" ]; then
    scale "$count"
  else
    echo "expected: scale N, N from 1 to $most"
  fi
done
wait "${pids[1]}"
