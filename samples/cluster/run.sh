#!/usr/bin/env bash
# Builds and starts an etcd, two backends, three load balancers that act as one (a, b, c), and a store whose broker runs on a or on b.
# What is set at one node holds on all. Ctrl+C stops everything. Linux only: the store needs the address 127.0.0.2 too.
#
#   ./run.sh [--tour]      --tour: tries what README.md shows, kills a node, the main of the store and etcd, and ends; the exit code is 0
#                          if everything is as it says there
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../programs.sh

case ${1:-} in
  '' | --tour) ;;
  *) sed -n '2,6s/^# \{0,1\}//p' run.sh; exit 0 ;;
esac

for program in etcd curl; do
  command -v "$program" > /dev/null || { echo "$program is missing; on Debian: apt-get install etcd-server curl" >&2; exit 1; }
done
for port in 9601 9602 9603 9611 9612 9613 9621 9622 9631 9632; do
  require_free "$port"
done
for host in 127.0.0.1 127.0.0.2; do
  for port in 5550 5560 5570 5571 5572 5573; do
    require_free "$port" "$host"
  done
done
for project in ../../Backend1 ../../Backend2 ../store/StoreWorker ../store/StoreClient ../../LoadBalancer; do
  build "$project"
done

work=$(mktemp -d) # what etcd keeps, the copies of the nodes, and what the store sells
stop_all() {
  stop
  rm -rf "$work"
}
trap stop_all EXIT

start_etcd() {
  etcd --name sample --data-dir "$work/etcd" --listen-client-urls http://127.0.0.1:9621 --advertise-client-urls http://127.0.0.1:9621 \
    --listen-peer-urls http://127.0.0.1:9622 --initial-advertise-peer-urls http://127.0.0.1:9622 \
    --initial-cluster sample=http://127.0.0.1:9622 --logger zap --log-level error < /dev/null > "$work/etcd.log" 2>&1 &
  etcd=$!
  pids+=("$etcd")
  wait_for "$etcd" is_open 9621
}
declare -A node # its process by its name
start_node() { # NAME
  start "$1" ../../LoadBalancer --config "$1.json" "--LoadBalancer:Cluster:StateDirectory=$work/$1"
  node[$1]=${pids[-1]}
}

start_etcd
start backend1 ../../Backend1 --urls http://127.0.0.1:9631
start backend2 ../../Backend2 --urls http://127.0.0.1:9632
for name in a b c; do start_node "$name"; done
for number in 1 2; do
  start "worker$number" ../store/StoreWorker --alternative 127.0.0.2 --peer-timeout 2 --database "$work/store.db"
done
for port in 9611 9612 9613; do
  wait_for "${node[a]}" answers "$port" /api/cluster
done

if [ "${1:-}" = --tour ]; then
  source tour.sh
  exit
fi
cat <<EOT
Dashboards, each of all three nodes: http://127.0.0.1:9611 (a), http://127.0.0.1:9612 (b), http://127.0.0.1:9613 (c)

Drain backend1 at node a, and ask nodes b and c:
      curl -X PATCH -d '{"adminState":"Draining"}' http://127.0.0.1:9611/api/pools/web/backends/backend1
      curl http://127.0.0.1:9602; curl http://127.0.0.1:9603
Buy something in the store; kill the node whose broker sells, and buy again (in samples/cluster):
      curl http://127.0.0.1:9613/api/cluster                      "mains" names it
      dotnet ../store/StoreClient/bin/Release/net10.0/StoreClient.dll --alternative 127.0.0.2 --peer-timeout 2
      kill -9 ${node[a]}        a
      kill -9 ${node[b]}        b
      kill -9 ${node[c]}        c
Kill etcd (kill -9 $etcd): everything goes on but the store, changes are refused, and the dashboards say so.
Ctrl+C stops everything.
EOT
wait
