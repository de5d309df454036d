# What the samples' run.sh have in common, to be sourced: builds programs, starts them in the background, and stops them when the script
# ends, or on Ctrl+C.
set -euo pipefail

pids=() # of those that were started, in that order

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

require_free() { # PORT [HOST]
  if (exec 3<> "/dev/tcp/${2:-127.0.0.1}/$1") 2> /dev/null; then
    echo "port $1${2:+ of $2} is taken by another program" >&2
    exit 1
  fi
}

build() { # PROJECT [REMARK]
  local output
  echo "building $(basename "$1")${2:+ ($2)}"
  output=$(dotnet build "$1" --configuration Release 2>&1) || { printf '%s\n' "$output" >&2; exit 1; }
}
