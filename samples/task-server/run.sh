#!/usr/bin/env bash
# Builds once, starts two task servers and the load balancer in front of them, lets two clients work, and stops everything when they
# are done, or on Ctrl+C. The exit code is 0 where every answer was the one that was to come and no task was lost.
#
#   ./run.sh [--keep] [OPTION OF THE CLIENTS...]     --keep: goes on when the clients are done
#                                                    --requests 20000 --concurrency 50: what each of them sends
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

client() { # NAME
  exec dotnet ClientEmulator/bin/Release/net10.0/ClientEmulator.dll --name "$1" ${options[@]+"${options[@]}"} < /dev/null
}

for port in 5001 5002 8080; do
  require_free "$port"
done

for project in TaskServer ClientEmulator ../../LoadBalancer; do
  build "$project"
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
