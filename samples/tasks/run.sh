#!/usr/bin/env bash
# Builds and starts the load balancer and three workers, lets a client send its tasks, and stops everything when it is done, or on Ctrl+C.
# The exit code is the client's: 0 if every task had its result.
#
#   ./run.sh [--keep] [CLIENT OPTION...]      --keep: everything goes on when the client is done
#                                             --random 100000: that many random tasks; --file FILE: the lines of a file
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../programs.sh

keep=
options=()
for argument in "$@"; do
  case $argument in
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' run.sh; exit 0 ;;
    --keep) keep=1 ;;
    *) options+=("$argument") ;;
  esac
done

for port in 8888 8889 8081; do
  require_free "$port"
done

for project in Worker Client ../../LoadBalancer; do
  build "$project"
done

# Lines about each of 100,000 tasks are of no use.
quiet=()
case " ${options[*]-} " in *" --random "*) quiet=(--quiet --capacity 16) ;; esac

start loadbalancer ../../LoadBalancer --config loadbalancer.json
for i in 1 2 3; do
  start "worker$i" Worker --name "worker$i" ${quiet[@]+"${quiet[@]}"}
done

sleep 1 # until all have registered, so that each gets tasks

result=0
dotnet Client/bin/Release/net10.0/Client.dll ${options[@]+"${options[@]}"} < /dev/null || result=1

if [ -n "$keep" ]; then
  cat <<EOF
Try:  dotnet Client/bin/Release/net10.0/Client.dll --random 100000
      printf 'TASK|1|1,2,3\\n' | nc -N 127.0.0.1 8888      without the client program
      http://127.0.0.1:8081                               the dashboard: workers join and leave
      $(printf '%-52s' "kill -9 ${pids[1]}")stops worker1; its tasks go to the others
Ctrl+C stops everything.
EOF
  exec 2> /dev/null # bash would print a long message about a worker that was killed
  wait "${pids[0]}" || result=1
fi
exit "$result"
