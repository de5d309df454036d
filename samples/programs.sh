# What the run.sh scripts share, to be sourced: builds programs, starts them in the background, and stops them when the script ends, also
# on Ctrl+C.
set -euo pipefail

pids=() # of the programs started, in that order

stop() {
  trap '' INT TERM
  [ ${#pids[@]} -eq 0 ] || kill -TERM "${pids[@]}" 2> /dev/null || true
  wait
}
trap 'exit 0' INT TERM
trap stop EXIT

is_open() { # PORT [HOST]: whether a program listens there
  (exec 3<> "/dev/tcp/${2:-127.0.0.1}/$1") 2> /dev/null
}

require_free() { # PORT [HOST]
  local owner
  if is_open "$@"; then
    owner=$(owner_of "$@") || owner="another program (one of another user or container: as root, 'ss -ltnp' names it)"
    echo "port $1${2:+ of $2} is taken by ${owner:-another program}" >&2
    exit 1
  fi
}

# Who listens at a port: "process 123 (dotnet LoadBalancer.dll)". Fails where this user may not know that.
owner_of() { # PORT [HOST]
  local pid='' name inode at a b c d
  if [ -r /proc/net/tcp ]; then
    IFS=. read -r a b c d <<< "${2:-127.0.0.1}"
    at=$(printf '%02X%02X%02X%02X:%04X' "$d" "$c" "$b" "$a" "$1") # as the kernel writes it on x64 and arm64
    inode=$(awk -v at="$at" '
      $4 == "0A" && ($2 == at || $2 ~ "^0+" substr(at, 9) "$" || $2 ~ "^0+FFFF0000" at "$") { print $10; exit }
    ' /proc/net/tcp /proc/net/tcp6 2> /dev/null)
    pid=$(find /proc/[0-9]*/fd -lname "socket:\\[$inode\\]" 2> /dev/null | head -1 | cut -d/ -f3) || true
  elif command -v lsof > /dev/null; then
    pid=$(lsof -nP -t "-iTCP:$1" -sTCP:LISTEN 2> /dev/null | head -1) || true
  fi
  [ -n "$pid" ] || return 1
  name=$(ps -o comm= -p "$pid" 2> /dev/null || cat "/proc/$pid/comm" 2> /dev/null) || true
  # Not the other arguments: a password may be among them.
  if [ "$name" = dotnet ]; then name="dotnet $(tr '\0' '\n' < "/proc/$pid/cmdline" 2> /dev/null | sed -n '2{s:.*/::;p}')"; fi
  echo "process $pid ($name)"
}

answers() { # PORT PATH: whether GET PATH there is answered with 200
  (
    exec 3<> "/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3 &&
      IFS= read -r -t 5 line <&3 && [[ $line == 'HTTP/1.1 200 '* ]]
  ) 2> /dev/null
}

wait_for() { # PID COMMAND...: until the command succeeds, for 30 s at most; fails where the program has ended before
  local pid=$1 i
  shift
  for ((i = 0; i < 300; i++)); do
    if "$@"; then return; fi
    kill -0 "$pid" 2> /dev/null || return
    sleep 0.1
  done
  echo "it does not answer within 30 s" >&2
  exit 1
}

build() { # PROJECT [REMARK]
  local output
  echo "building $(basename "$1")${2:+ ($2)}"
  output=$(dotnet build "$1" --configuration Release 2>&1) || { printf '%s\n' "$output" >&2; exit 1; }
}

start() { # NAME PROJECT ARGUMENT...: prints the program's lines with NAME in front
  local name=$1 project=$2
  shift 2
  # The loop ignores Ctrl+C, so that it prints the last lines too; it ends with the program that it reads from.
  dotnet "$project/bin/Release/net10.0/$(basename "$project").dll" "$@" < /dev/null \
    > >(trap '' INT TERM; while IFS= read -r line; do printf '[%s] %s\n' "$name" "$line"; done) 2>&1 &
  pids+=($!)
}
