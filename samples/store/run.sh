#!/usr/bin/env bash
# Builds once, starts the store's load balancer (127.0.0.1), its alternative (127.0.0.2), three workers and a client, and stops them all
# when the client ends, or on Ctrl+C. The exit code is the client's.
#
#   ./run.sh [--postgres STRING] [OPTION OF THE CLIENT...]    without options the client reads commands
#                                                             --test 1000: it sends so many requests instead
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

options=()
database=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' run.sh; exit 0 ;;
    --postgres) database=(--postgres "$2"); shift 2 ;;
    *) options+=("$1"); shift ;;
  esac
done

pids=()

stop() {
  trap '' INT TERM
  [ ${#pids[@]} -eq 0 ] || kill -TERM "${pids[@]}" 2> /dev/null || true
  wait
}
trap 'exit 0' INT TERM
trap stop EXIT

start() { # NAME PROJECT ARGUMENT...: its lines are printed with its name in front
  local name=$1 project=$2
  shift 2
  # The printing loop outlives Ctrl+C, so that the last lines are seen too; it ends with the program that it reads from.
  dotnet "$project/bin/Release/net10.0/$(basename "$project").dll" "$@" < /dev/null \
    > >(trap '' INT TERM; while IFS= read -r line; do printf '[%s] %s\n' "$name" "$line"; done) 2>&1 &
  pids+=($!)
}

for host in 127.0.0.1 127.0.0.2; do
  for port in 5550 5560 5570 5571 5572 5573; do
    if (exec 3<> "/dev/tcp/$host/$port") 2> /dev/null; then
      echo "port $port of $host is taken by another program" >&2
      exit 1
    fi
  done
done

for project in StoreWorker StoreClient ../../LoadBalancer; do
  echo "building $(basename "$project")"
  output=$(dotnet build "$project" --configuration Release 2>&1) || { printf '%s\n' "$output" >&2; exit 1; }
done

start main ../../LoadBalancer --config main.json
start alternative ../../LoadBalancer --config alternative.json
for number in 1 2 3; do
  start "worker$number" StoreWorker ${database[@]+"${database[@]}"}
done
cat <<EOT
A browser at http://127.0.0.1:8081 shows the main, one at http://127.0.0.1:8082 the alternative.
kill -9 ${pids[0]} kills the main: within 6.5 s the alternative answers.
EOT

dotnet StoreClient/bin/Release/net10.0/StoreClient.dll ${options[@]+"${options[@]}"}
