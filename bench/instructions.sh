#!/usr/bin/env bash
# Counts the instructions that the load balancer executes for a request (a GET over HTTP/1.1, its answer of some bytes), without those of
# the system. Unlike a time, the number is the same on a busy machine and from run to run to about 1 %, so a small change shows.
# Needs valgrind, ab, and what packaging/build.sh aot has made; ports 9195 to 9197.
#
#   bench/instructions.sh [--requests N] [--check]
#
#   --check   fails where the number is more than 3 % above the one in bench/instructions.txt; that is written by hand, with the reason
#             for a rise in the commit
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

requests=5000
check=
while [ $# -gt 0 ]; do
  case $1 in
    --requests) requests=$2; shift 2 ;;
    --check) check=yes; shift ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  esac
done
program=../artifacts/aot/loadbalancer
[ -x "$program" ] || { echo "$program is missing: packaging/build.sh aot" >&2; exit 1; }
for tool in valgrind:valgrind ab:apache2-utils; do
  command -v "${tool%:*}" > /dev/null || { echo "${tool%:*} is missing (Debian: apt-get install ${tool#*:})" >&2; exit 1; }
done

work=$(mktemp -d)
pids=()
stop() {
  kill -KILL "${pids[@]}" 2> /dev/null || true # valgrind may not notice a signal while nothing runs below it
  wait 2> /dev/null || true
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

write() { # NAME PORT BACKEND MORE
  cat > "$work/$1.json" <<END
{ "LoadBalancer": { "Listeners": { "web": { "Address": "http://127.0.0.1:$2", "Pool": "web", $4 "AccessLog": "Off" } },
  "Pools": { "web": { "Backends": { "one": { "Address": "http://127.0.0.1:$3" } } } } } }
END
}
write backend 9196 9197 '"Routes": [ { "Path": "/", "Respond": { "Status": 200, "Body": "one hundred bytes would be no different" } } ],'
write lb 9195 9196 ''
"$program" --config "$work/backend.json" > "$work/backend.log" 2>&1 < /dev/null & pids+=($!)
answers() { curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$1/"; }
until answers 9196; do kill -0 "${pids[0]}" || { cat "$work/backend.log" >&2; exit 1; }; sleep 0.1; done
# valgrind cannot give the program the address space that the garbage collector takes for itself; with a limit it takes less.
DOTNET_GCHeapHardLimit=0x10000000 valgrind --tool=callgrind --instr-atstart=no --callgrind-out-file="$work/calls" \
  "$program" --config "$work/lb.json" > "$work/lb.log" 2>&1 < /dev/null & pids+=($!)
until answers 9195; do kill -0 "${pids[1]}" || { cat "$work/lb.log" >&2; exit 1; }; sleep 0.2; done

load() { ab -q -k -c 1 -n "$1" http://127.0.0.1:9195/ > "$work/ab.log"; }
load "$requests" # connections, caches, and what the runtime finds out once
callgrind_control --instr=on "${pids[1]}" > /dev/null 2>&1
load "$requests"
callgrind_control --dump "${pids[1]}" > /dev/null 2>&1
grep -q '^Failed requests: *0$' "$work/ab.log" || { echo "requests have failed" >&2; cat "$work/ab.log" >&2; exit 1; }
until total=$(sed -n 's/^\(totals\|summary\): \([0-9]*\).*/\2/p' "$work"/calls* 2> /dev/null | sort -n | tail -1); [ -n "$total" ]; do
  sleep 0.2
done

count=$((total / requests))
allowed=$(($(grep -v '^#' instructions.txt) * 103 / 100))
echo "$count instructions for each request; allowed are $allowed"
[ -z "$check" ] || [ "$count" -le "$allowed" ]
