#!/usr/bin/env bash
# Builds once, starts two task servers and the load balancer in front of them, lets two clients work, and stops everything when they
# are done, or on Ctrl+C. The exit code is 0 where no task was lost and every answer was the one that was to come.
#
#   ./run.sh [--keep] [OPTION OF THE CLIENT...]      --keep: do not stop when the clients are done
#                                                    such as --requests 20000 --concurrency 50
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

keep=
clients=()
for argument in "$@"; do
  case $argument in
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' run.sh; exit 0 ;;
    --keep) keep=1 ;;
    *) clients+=("$argument") ;;
  esac
done

pids=()

stop() {
  trap '' INT TERM
  kill -TERM "${pids[@]}" 2> /dev/null || true
  wait
}
trap 'exit 130' INT TERM
trap stop EXIT

program() { echo "$1/bin/Release/net10.0/$(basename "$1").dll"; }

prefixed() { # NAME COMMAND...: runs it with NAME in front of its lines, in the background
  local name=$1
  shift
  # The printing loop outlives Ctrl+C, so that the last lines are seen too; it ends with the program that it reads from.
  "$@" < /dev/null > >(trap '' INT TERM; while IFS= read -r line; do printf '[%s] %s\n' "$name" "$line"; done) 2>&1 &
  pids+=($!)
}

for project in TaskServer ClientEmulator ../../LoadBalancer; do
  echo "building $(basename "$project")"
  output=$(dotnet build "$project" --configuration Release 2>&1) || { printf '%s\n' "$output" >&2; exit 1; }
done

prefixed server1 dotnet "$(program TaskServer)" --urls http://127.0.0.1:5001 --tasks tasks.json
prefixed server2 dotnet "$(program TaskServer)" --urls http://127.0.0.1:5002 --tasks tasks.json
# A line for each request would bury what there is to see here.
prefixed loadbalancer dotnet "$(program ../../LoadBalancer)" --config loadbalancer.json --LoadBalancer:Listeners:web:AccessLog=access.log
balancer=$!
