#!/usr/bin/env bash
# Builds once and starts a whole chat: two logic servers behind a load balancer in mode fl (clients at :3001), two data servers behind
# one in mode ld. Ctrl+C stops everything. With a KEY (openssl rand -base64 32) in the environment every heartbeat is signed.
#
#   ./run.sh [--demo]     --demo: two clients talk by themselves while data1 and then logic1 are killed; the exit code is 0 where
#                                 both have heard everything
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

key=() fl=() ld=()
if [ -n "${KEY:-}" ]; then
  key=(--key "$KEY")
  fl=("--LoadBalancer:Pools:logic:Heartbeat:Key=$KEY")
  ld=("--LoadBalancer:Pools:logic:Heartbeat:Key=$KEY" "--LoadBalancer:Pools:data:Heartbeat:Key=$KEY")
fi

start fl ../../LoadBalancer --config fl.json --LoadBalancer:Management:Address=http://127.0.0.1:8081 ${fl[@]+"${fl[@]}"}
start ld ../../LoadBalancer --config ld.json --LoadBalancer:Management:Address=http://127.0.0.1:8082 ${ld[@]+"${ld[@]}"}
start data1 DataServer --listen 127.0.0.1:8000 --heartbeat-from 127.0.0.1:8001 --heartbeat-to 127.0.0.1:5002 --other 127.0.0.1:8002 ${key[@]+"${key[@]}"}
start data2 DataServer --listen 127.0.0.1:8002 --heartbeat-from 127.0.0.1:8003 --heartbeat-to 127.0.0.1:5002 --other 127.0.0.1:8000 ${key[@]+"${key[@]}"}
start logic1 LogicServer --listen 127.0.0.1:7000 --heartbeat-from 127.0.0.1:7001 --heartbeat-to 127.0.0.1:5000,127.0.0.1:5001 --data 127.0.0.1:4001 ${key[@]+"${key[@]}"}
start logic2 LogicServer --listen 127.0.0.1:7002 --heartbeat-from 127.0.0.1:7003 --heartbeat-to 127.0.0.1:5000,127.0.0.1:5001 --data 127.0.0.1:4001 ${key[@]+"${key[@]}"}

exec 2> /dev/null # bash would report a killed server at length
if [ -n "$demo" ]; then
  result=0
  dotnet ChatClient/bin/Release/net10.0/ChatClient.dll 127.0.0.1:3001 --demo "${pids[2]}" "${pids[4]}" < /dev/null || result=1
  exit "$result"
fi
cat <<EOT
Try:  dotnet ChatClient/bin/Release/net10.0/ChatClient.dll    twice, each in a terminal: join kitchen ana, say kitchen hello
      a browser at http://127.0.0.1:8081 and :8082            who is up, and how busy
      $(printf '%-56s' "kill ${pids[2]}")stops data1
      $(printf '%-56s' "kill ${pids[4]}")stops logic1
Ctrl+C stops everything.
EOT
wait "${pids[0]}"
