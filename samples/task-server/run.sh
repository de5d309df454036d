#!/usr/bin/env bash
# Builds once, starts two task servers and the load balancer in front of them, lets two clients work, and stops everything when they
# are done, or on Ctrl+C. The exit code is 0 where every answer was the one that was to come and no task was lost.
#
#   ./run.sh [--keep] [OPTION OF THE CLIENTS...]     --keep: goes on when the clients are done
#                                                    --requests 20000 --concurrency 50: what each of them sends
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

keep=
options=()
for argument in "$@"; do
  case $argument in
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' run.sh; exit 0 ;;
    --keep) keep=1 ;;
    *) options+=("$argument") ;;
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

client() { # NAME
  exec dotnet ClientEmulator/bin/Release/net10.0/ClientEmulator.dll --name "$1" ${options[@]+"${options[@]}"} < /dev/null
}

for port in 5001 5002 8080; do
  if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then
    echo "port $port is taken by another program" >&2
    exit 1
  fi
done

for project in TaskServer ClientEmulator ../../LoadBalancer; do
  echo "building $(basename "$project")"
  output=$(dotnet build "$project" --configuration Release 2>&1) || { printf '%s\n' "$output" >&2; exit 1; }
done

start server1 TaskServer --urls http://127.0.0.1:5001
start server2 TaskServer --urls http://127.0.0.1:5002
# A line for each request would bury all else.
start loadbalancer ../../LoadBalancer --config loadbalancer.json --LoadBalancer:Listeners:web:AccessLog=access.log

# The terminal is the first client's, for its progress line; what the second has to say can wait in a pipe.
exec 3< <(client client2)
pids+=($!)
result=0
(client client1) || result=1
cat <&3
wait "${pids[3]}" || result=1

if [ -n "$keep" ]; then
  cat <<EOF
Try:  curl http://127.0.0.1:8080/tareas               all tasks
      curl http://127.0.0.1:8080/health               who is well
      curl http://127.0.0.1:5001/errors/stats         what server1 refused
      $(printf '%-48s' "kill ${pids[0]}")stops server1
Ctrl+C stops everything.
EOF
  exec 2> /dev/null # bash would report a killed server at length
  wait "${pids[2]}" || result=1
fi
exit "$result"
