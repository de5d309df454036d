#!/usr/bin/env bash
# Builds and starts two task servers and the load balancer in front of them, runs two clients, and stops everything when they are done, or
# on Ctrl+C. The exit code is 0 if every answer was as expected and no task was lost.
#
#   ./run.sh [--keep] [CLIENT OPTION...]     --keep: everything goes on when the clients are done
#                                            --requests 20000 --concurrency 50: what each client sends
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
# The access log goes to a file: a line for each request would hide everything else.
start loadbalancer ../../LoadBalancer --config loadbalancer.json --LoadBalancer:Listeners:web:AccessLog=access.log

# The first client has the terminal, for its progress line. The output of the second waits in a pipe until the first has ended.
exec 3< <(client client2)
pids+=($!)
result=0
(client client1) || result=1
cat <&3
wait "${pids[3]}" || result=1

if [ -n "$keep" ]; then
  cat <<EOF
Try:  curl http://127.0.0.1:8080/tareas               all tasks
      curl http://127.0.0.1:8080/health               which servers are up
      curl http://127.0.0.1:5001/errors/stats         the requests that server1 has refused
      $(printf '%-48s' "kill ${pids[0]}")stops server1
Ctrl+C stops everything.
EOF
  exec 2> /dev/null # bash would print a long message about a server that was killed
  wait "${pids[2]}" || result=1
fi
exit "$result"
