#!/usr/bin/env bash
# Builds and starts both backends and the load balancer, and stops them all on Ctrl+C. Stop a backend meanwhile to see what happens, and
# start it again with `dotnet run --project Backend1`.
cd "$(dirname "${BASH_SOURCE[0]}")"
source samples/programs.sh

for port in 3000 3001 8080 8081; do
  require_free "$port"
done

for project in Backend1 Backend2 LoadBalancer; do
  build "$project"
done

start Backend1 Backend1
start Backend2 Backend2
start LoadBalancer LoadBalancer --LoadBalancer:Management:Address=http://127.0.0.1:8081

# The management listener knows when a backend is up; it is there a moment before the other one.
serves() { is_open 8080 && answers 8081 /health; }
wait_for "${pids[2]}" serves && cat <<'EOT'
Try:  curl http://127.0.0.1:8080           the two backends in turn
      curl http://127.0.0.1:8080/health    which backends are up
      curl http://127.0.0.1:8080/status    what they have done so far
      a browser at http://127.0.0.1:8081   the dashboard
Ctrl+C stops everything.
EOT

# Ends with the load balancer, and with its exit code.
wait "${pids[2]}" 2> /dev/null # bash would print a long message about a backend that was killed
