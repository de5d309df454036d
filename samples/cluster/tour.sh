# Tries what README.md shows. Sourced by run.sh when everything runs; ends with 0 if nothing was wrong.
wrong=0
say() { # RIGHT? WHAT
  if [ "$1" -eq 0 ]; then echo "right: $2"; else echo "WRONG: $2"; wrong=1; fi
}
expect() { # WHAT COMMAND...: the command succeeds within 30 s
  local what=$1 i
  shift
  for ((i = 0; i < 300; i++)); do
    if "$@"; then say 0 "$what"; return; fi
    sleep 0.1
  done
  say 1 "$what"
}
ask() { curl --silent --max-time 10 "http://127.0.0.1:$1$2"; } # PORT PATH
change() { # PORT STATE: prints the status
  curl --silent --max-time 10 --output "$work/answer" --write-out '%{http_code}' -X PATCH -d "{\"adminState\":$2}" \
    "http://127.0.0.1:$1/api/pools/web/backends/backend1"
}
knows() { # PORT NODE...: that node knows exactly these
  local port=$1 names
  shift
  names=$(ask "$port" /api/cluster | grep -o '{"name":"[^"]*","address"' | cut -d'"' -f4 | tr '\n' ' ')
  [ "$names" = "$(printf '%s ' "$@")" ]
}
state_is() { # STATE PORT...: each of these nodes says so
  local state=$1 port
  shift
  for port in "$@"; do
    ask "$port" /api/pools/web/backends/backend1 | grep -q "\"adminState\":\"$state\"" || return 1
  done
}
only_backend2() { # PORT...: 20 requests to each
  local port i
  for port in "$@"; do
    for ((i = 0; i < 20; i++)); do
      [[ $(ask "$port" /) == 'Hello from backend2: GET /' ]] || return 1
    done
  done
}
main_of_store() { ask 9613 /api/cluster | sed -n 's/.*"mains":{"store":"\([^"]*\)"}.*/\1/p'; }
main_is() { [ "$(main_of_store)" = "$1" ]; }
has_main() { [ -n "$(main_of_store)" ]; }
is_connected() { ask "$1" /api/cluster | grep -q "\"connected\":$2"; }
tells_rates() { ask 9612 '/api/cluster?rates' | grep -o '"requestsPerSecond"' | [ "$(wc -l)" -eq 3 ]; }
kill_node() {
  kill -KILL "${node[$1]}"
  wait "${node[$1]}" 2> /dev/null || true
}

expect "each node knows all three" knows 9611 a b c
expect "the same at b" knows 9612 a b c
expect "the same at c" knows 9613 a b c
expect "one page has the rates of all" tells_rates

say "$([ "$(change 9611 '"Draining"')" = 200 ]; echo $?)" "a drain at a"
expect "it holds at b and c" state_is Draining 9611 9612 9613
expect "no request to any node goes to backend1" only_backend2 9601 9602 9603

kill_node c
expect "kill -9 c: a knows that it is gone" knows 9611 a b
start_node c
expect "c is back, and knows of the drain" state_is Draining 9613
expect "the three are together again" knows 9613 a b c

expect "the store has a main" has_main
dotnet ../store/StoreClient/bin/Release/net10.0/StoreClient.dll --alternative 127.0.0.2 --peer-timeout 2 --test 100 || wrong=1
first=$(main_of_store)
other=$([ "$first" = a ] && echo b || echo a)
kill_node "$first"
from=$(date +%s%N)
expect "kill -9 $first, the main of the store: $other takes over" main_is "$other"
echo "after $((($(date +%s%N) - from) / 1000000)) ms"
dotnet ../store/StoreClient/bin/Release/net10.0/StoreClient.dll --alternative 127.0.0.2 --peer-timeout 2 --test 100 || wrong=1
start_node "$first"
expect "$first is back" knows 9613 a b c

kill -KILL "$etcd"
wait "$etcd" 2> /dev/null || true
expect "kill -9 etcd: a is cut off" is_connected 9611 false
expect "requests are answered all the same" only_backend2 9601 9602 9603
say "$([ "$(change 9611 '"Ready"')" = 503 ]; echo $?)" "a change is refused: $(cat "$work/answer")"
start_etcd
for port in 9611 9612 9613; do expect "etcd is back: $port is connected" is_connected "$port" true; done
say "$([ "$(change 9613 '"Ready"')" = 200 ]; echo $?)" "backend1 gets work again, by c"
expect "that holds at a and b" state_is Ready 9611 9612
exit "$wrong"
