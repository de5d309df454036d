#!/usr/bin/env bash
# Builds once, starts the load balancer and three workers, lets a client send its tasks, and stops everything when it is done, or on
# Ctrl+C. The exit code is the client's: 0 where every task had its result.
#
#   ./run.sh [--keep] [OPTION OF THE CLIENT...]      --keep: goes on when the client is done
#                                                    --random 100000: so many random tasks; --file FILE: the lines of a file
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

for port in 8888 8889 8081; do
  if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then
    echo "port $port is taken by another program" >&2
    exit 1
  fi
done

for project in Worker Client ../../LoadBalancer; do
  echo "building $(basename "$project")"
  output=$(dotnet build "$project" --configuration Release 2>&1) || { printf '%s\n' "$output" >&2; exit 1; }
done

# Of 100,000 tasks nobody wants to read.
quiet=()
case " ${options[*]-} " in *" --random "*) quiet=(--quiet --capacity 16) ;; esac

start loadbalancer ../../LoadBalancer --config loadbalancer.json
for i in 1 2 3; do
  start "worker$i" Worker --name "worker$i" ${quiet[@]+"${quiet[@]}"}
done

sleep 1 # until all have registered, so that each gets something to do

result=0
dotnet Client/bin/Release/net10.0/Client.dll ${options[@]+"${options[@]}"} < /dev/null || result=1

if [ -n "$keep" ]; then
  cat <<EOF
Try:  dotnet Client/bin/Release/net10.0/Client.dll --random 100000
      printf 'TASK|1|1,2,3\\n' | nc -N 127.0.0.1 8888      without any client of ours
      http://127.0.0.1:8081                               the dashboard: workers come and go
      $(printf '%-52s' "kill -9 ${pids[1]}")stops worker1; its tasks go to the others
Ctrl+C stops everything.
EOF
  exec 2> /dev/null # bash would report a killed worker at length
  wait "${pids[0]}" || result=1
fi
exit "$result"
