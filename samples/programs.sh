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

start() { # NAME PROJECT ARGUMENT...: prints the program's lines with NAME in front
  local name=$1 project=$2
  shift 2
  # The loop ignores Ctrl+C, so that it prints the last lines too; it ends with the program that it reads from.
  dotnet "$project/bin/Release/net10.0/$(basename "$project").dll" "$@" < /dev/null \
    > >(trap '' INT TERM; while IFS= read -r line; do printf '[%s] %s\n' "$name" "$line"; done) 2>&1 &
  pids+=($!)
}
