#!/usr/bin/env bash
# Builds once and starts a whole chat: two logic servers behind a load balancer in mode fl (clients at :3001), two data servers behind
# one in mode ld. Ctrl+C stops everything. With a KEY (openssl rand -base64 32) in the environment every heartbeat is signed.
#
#   ./run.sh [--demo]     --demo: two clients talk by themselves while data1 and then logic1 are killed; the exit code is 0 where
#                                 both have heard everything
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

demo=
case ${1:-} in
  '') ;;
  --demo) demo=1 ;;
  *) sed -n '2,7s/^# \{0,1\}//p' run.sh; exit 0 ;;
esac

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

for port in 3001 4001 4002 7000 7002 8000 8002 8081 8082; do
  if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then
    echo "port $port is taken by another program" >&2
    exit 1
  fi
done

for project in LogicServer DataServer ChatClient ../../LoadBalancer; do
  echo "building $(basename "$project") (which may take a minute the first time)"
  output=$(dotnet build "$project" --configuration Release 2>&1) || { printf '%s\n' "$output" >&2; exit 1; }
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
