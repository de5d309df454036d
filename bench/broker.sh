#!/usr/bin/env bash
# Measures the broker beside libzmq's own proxy (ROUTER-DEALER, zmq.proxy) with the same peers, in turn, and prints the medians as a
# Markdown table. Needs python3-zmq.
#
#   bench/broker.sh [--rounds N] [--seconds S]
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

python=python3
[ ! -x /usr/bin/python3 ] || python=/usr/bin/python3 # where Debian's package is
"$python" -c 'import zmq' 2> /dev/null || { echo "bench/broker.sh needs python3-zmq (Debian: apt-get install python3-zmq)" >&2; exit 1; }

work=$(mktemp -d)
declare -A pid clients=([libzmq]=9150 [ours]=9160) workers=([libzmq]=9151 [ours]=9161)
stop() {
  kill -TERM "${pid[@]}" 2> /dev/null || true
  wait
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

cpu_ticks() { sed 's/.*) //' "/proc/${pid[$1]}/stat" | awk '{ print $12 + $13 }'; }

dotnet build ../LoadBalancer --configuration Release --nologo --verbosity quiet > /dev/null
dotnet build BrokerLoad --configuration Release --output "$work/load" --nologo --verbosity quiet > /dev/null
cat > "$work/ours.json" <<END
{ "LoadBalancer": {
  "Listeners": { "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "store",
    "Ports": { "Clients": ${clients[ours]}, "Workers": ${workers[ours]}, "HealthCheck": 9162, "AlternativePing": 9163,
      "WorkerCheckClients": 9164, "WorkerCheckWorkers": 9165 } } },
  "Pools": { "store": {} } } }
END
"$python" zmq_proxy.py "${clients[libzmq]}" "${workers[libzmq]}" &
pid[libzmq]=$!
dotnet ../LoadBalancer/bin/Release/net10.0/LoadBalancer.dll --config "$work/ours.json" < /dev/null > "$work/ours.log" 2>&1 &
pid[ours]=$!

mkfifo "$work/go"
measure() { # BROKER CLIENTS WORKERS: one round
  local before ticks requests time p99
  dotnet "$work/load/BrokerLoad.dll" "${clients[$1]}" "${workers[$1]}" "$2" "$3" "$seconds" < "$work/go" > "$work/out" &
  local load=$!
  exec 7> "$work/go"
  until grep -q ready "$work/out"; do sleep 0.05; done
  before=$(cpu_ticks "$1")
  echo >&7
  wait "$load"
  exec 7>&-
  read -r requests time p99 < <(tail -1 "$work/out")
  ticks=$(($(cpu_ticks "$1") - before))
  awk -v what="$2 clients, $3 workers" -v broker="$1" -v n="$requests" -v t="$time" -v p99="$p99" \
    -v ticks="$ticks" -v hz="$(getconf CLK_TCK)" '
    BEGIN { OFS = "\t"
      print what, broker, "requests/s", n / t
      print what, broker, "CPU µs/request", ticks / hz * 1e6 / n
      print what, broker, "99th percentile, ms", p99 }' >> "$work/results"
}

for broker in libzmq ours; do measure "$broker" 8 4; done # warm up
: > "$work/results"
for peers in "8 4" "64 16" "1 1"; do
  for ((i = 0; i < rounds; i++)); do
    for broker in libzmq ours; do measure "$broker" $peers; done
  done
done

echo "| what | measure | zmq.proxy | LoadBalancer | to zmq.proxy |"
echo "| --- | --- | ---: | ---: | ---: |"
sort -t $'\t' -k1,3 -k4,4n -s "$work/results" | awk -F'\t' '
  function median(key) { return (values[key, int((n[key] + 1) / 2)] + values[key, int(n[key] / 2) + 1]) / 2 }
  function show(v) { return sprintf(v >= 100 ? "%.0f" : v >= 10 ? "%.1f" : "%.2f", v) }
  { key = $1 FS $3 FS $2; values[key, ++n[key]] = $4; row = $1 FS $3; if (!(row in seen)) { seen[row] = 1; order[++rows] = row } }
  END { for (i = 1; i <= rows; i++) { split(order[i], part, FS); a = median(order[i] FS "libzmq"); b = median(order[i] FS "ours")
    printf "| %s | %s | %s | %s | %.2f |\n", part[1], part[2], show(a), show(b), b / a } }'
