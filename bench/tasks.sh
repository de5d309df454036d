#!/usr/bin/env bash
# Measures how many tasks per second a task listener completes; TaskLoad plays clients and workers, whose own cost is included. With a
# RabbitMQ server it also measures the listener with that, and the server alone. Prints a Markdown table of medians.
#
#   bench/tasks.sh [--rounds 3] [--rabbit amqp://guest:guest@127.0.0.1:5672]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=3
rabbit=
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --rabbit) rabbit=$2; shift 2 ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 1 ;;
  esac
done

work=$(mktemp -d)
pid=
finish() {
  [ -z "$pid" ] || kill -TERM "$pid" 2> /dev/null || true
  rm -rf "$work"
}
trap finish EXIT

for project in LoadBalancer bench/TaskLoad; do
  dotnet build "$project" --configuration Release > "$work/build" 2>&1 || { cat "$work/build" >&2; exit 1; }
done

load() { dotnet bench/TaskLoad/bin/Release/net10.0/TaskLoad.dll "$@"; }
memory() { awk '/VmRSS/ { printf "%.0f", $2 / 1024 }' "/proc/$pid/status"; }

through() { # NAME QUEUE TASKS: one round
  cat > "$work/$1.json" <<JSON
{ "LoadBalancer": {
    "Listeners": { "tasks": { "Protocol": "Tasks", "Address": "tcp://127.0.0.1:9130", "WorkerAddress": "tcp://127.0.0.1:9131",
      "Pool": "tasks", "Queue": $2 } },
    "Pools": { "tasks": {} } } }
JSON
  dotnet LoadBalancer/bin/Release/net10.0/LoadBalancer.dll --config "$work/$1.json" > "$work/$1.log" 2>&1 &
  pid=$!
  until grep -q "listens on" "$work/$1.log"; do sleep 0.1; done
  load --port 9130 --worker-port 9131 --tasks $(($3 / 2)) > /dev/null # to warm up
  local before
  before=$(memory)
  load --port 9130 --worker-port 9131 --tasks "$3" >> "$work/$1.rates"
  echo "$before -> $(memory) MB" >> "$work/$1.memory"
  kill -TERM "$pid"
  wait "$pid"
  pid=
}

median() { sort -n "$work/$1.rates" | awk '{ rates[NR] = $1 } END { print rates[int((NR + 1) / 2)] }'; }

for ((round = 0; round < rounds; round++)); do
  through memory '{ "Engine": "Memory" }' 1000000
  if [ -n "$rabbit" ]; then
    through rabbit "{ \"Engine\": \"RabbitMq\", \"Uri\": \"$rabbit\", \"Name\": \"loadbalancer.bench\" }" 100000
    load --rabbit "$rabbit" --tasks 100000 >> "$work/bare.rates"
  fi
done

echo "| | tasks/s | resident memory over the measured run |"
echo "| --- | --- | --- |"
echo "| in memory, 1,000,000 tasks | $(median memory) | $(tail -n 1 "$work/memory.memory") |"
if [ -n "$rabbit" ]; then
  echo "| through RabbitMQ, 100,000 tasks | $(median rabbit) | $(tail -n 1 "$work/rabbit.memory") |"
  echo "| RabbitMQ alone: publish, consume, reply | $(median bare) | |"
fi
