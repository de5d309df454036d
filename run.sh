#!/usr/bin/env bash
# Builds once, starts both backends and the load balancer, and stops them all on Ctrl+C. A backend may be killed meanwhile, and
# started again with `dotnet run --project Backend1`: that is what there is to see.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

pids=()

stop() {
  trap '' INT TERM
  kill -TERM "${pids[@]}" 2>/dev/null || true
  wait
}
trap 'exit 0' INT TERM
trap stop EXIT

start() { # NAME ARGUMENT...: its lines are printed with its name in front
  local name=$1
  shift
  # The printing loop outlives Ctrl+C, so that the last lines are seen too; it ends with the program that it reads from.
  dotnet "$name/bin/Release/net10.0/$name.dll" "$@" < /dev/null \
    > >(trap '' INT TERM; while IFS= read -r line; do printf '[%s] %s\n' "$name" "$line"; done) 2>&1 &
  pids+=($!)
}

for name in Backend1 Backend2 LoadBalancer; do
  echo "building $name"
  output=$(dotnet build "$name" --configuration Release 2>&1) || { printf '%s\n' "$output" >&2; exit 1; }
done

start Backend1
start Backend2
start LoadBalancer --LoadBalancer:Management:Address=http://127.0.0.1:8081

cat <<'EOF'
Try:  curl http://127.0.0.1:8080           the two backends in turn
      curl http://127.0.0.1:8080/health    who is well
      curl http://127.0.0.1:8080/status    and what they have done so far
      a browser at http://127.0.0.1:8081   all of it, to look at and to steer
Ctrl+C stops everything.
EOF

# Without the load balancer there is nothing left to see; its exit code is ours.
wait "${pids[2]}" 2> /dev/null # bash would report a killed backend at length
