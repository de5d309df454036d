#!/usr/bin/env bash
# Builds and starts a whole chat: two logic servers behind a load balancer in mode fl (clients connect to :3001), two data servers behind
# one in mode ld. Ctrl+C stops everything. With KEY (openssl rand -base64 32) in the environment every heartbeat is signed.
#
#   ./run.sh [--demo]     --demo: two clients talk while data1 and then logic1 are killed; the exit code is 0 if both have received
#                                 everything
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../programs.sh

demo=
case ${1:-} in
  '') ;;
  --demo) demo=1 ;;
  *) sed -n '2,7s/^# \{0,1\}//p' run.sh; exit 0 ;;
esac

for port in 3001 4001 4002 7000 7002 8000 8002 8081 8082; do
  require_free "$port"
done

for project in LogicServer DataServer ChatClient ../../LoadBalancer; do
  build "$project" "which may take a minute the first time"
done

key=() fl=() ld=() # options
if [ -n "${KEY:-}" ]; then
  key=(--key "$KEY")
  fl=("--LoadBalancer:Pools:logic:Heartbeat:Key=$KEY")
  ld=("--LoadBalancer:Pools:logic:Heartbeat:Key=$KEY" "--LoadBalancer:Pools:data:Heartbeat:Key=$KEY")
fi

start fl ../../LoadBalancer --config fl.json --LoadBalancer:Management:Address=http://127.0.0.1:8081 ${fl[@]+"${fl[@]}"}
start ld ../../LoadBalancer --config ld.json --LoadBalancer:Management:Address=http://127.0.0.1:8082 ${ld[@]+"${ld[@]}"}
data=(--heartbeat-to 127.0.0.1:5002 ${key[@]+"${key[@]}"})
start data1 DataServer --listen 127.0.0.1:8000 --heartbeat-from 127.0.0.1:8001 --other 127.0.0.1:8002 "${data[@]}"
start data2 DataServer --listen 127.0.0.1:8002 --heartbeat-from 127.0.0.1:8003 --other 127.0.0.1:8000 "${data[@]}"
logic=(--heartbeat-to 127.0.0.1:5000,127.0.0.1:5001 --data 127.0.0.1:4001 ${key[@]+"${key[@]}"})
start logic1 LogicServer --listen 127.0.0.1:7000 --heartbeat-from 127.0.0.1:7001 "${logic[@]}"
start logic2 LogicServer --listen 127.0.0.1:7002 --heartbeat-from 127.0.0.1:7003 "${logic[@]}"

exec 2> /dev/null # bash would print a long message about a server that was killed
if [ -n "$demo" ]; then
  result=0
  dotnet ChatClient/bin/Release/net10.0/ChatClient.dll 127.0.0.1:3001 --demo "${pids[2]}" "${pids[4]}" < /dev/null || result=1
  exit "$result"
fi
cat <<EOT
Try:  dotnet ChatClient/bin/Release/net10.0/ChatClient.dll    twice, each in a terminal: join kitchen ana, say kitchen hello
      a browser at http://127.0.0.1:8081 and :8082            the dashboards: which servers are up, and how busy
      $(printf '%-56s' "kill ${pids[2]}")stops data1
      $(printf '%-56s' "kill ${pids[4]}")stops logic1
Ctrl+C stops everything.
EOT
wait "${pids[0]}"
