#!/usr/bin/env bash
# Builds and starts the store's load balancer (127.0.0.1), its alternative (127.0.0.2), three workers and a client, and stops them all when
# the client ends, or on Ctrl+C. The exit code is the client's.
#
#   ./run.sh [--postgres STRING] [CLIENT OPTION...]    without options the client reads commands
#                                                      --test 1000: it sends that many requests instead
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../programs.sh

options=()
database=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' run.sh; exit 0 ;;
    --postgres) database=(--postgres "$2"); shift 2 ;;
    *) options+=("$1"); shift ;;
  esac
done

for host in 127.0.0.1 127.0.0.2; do
  for port in 5550 5560 5570 5571 5572 5573; do
    require_free "$port" "$host"
  done
done
require_free 8081
require_free 8082

for project in StoreWorker StoreClient ../../LoadBalancer; do
  build "$project"
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
