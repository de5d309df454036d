#!/usr/bin/env bash
# Checks what packaging/build.sh has made, without installing anything, and the Dockerfile. Prints what is wrong; the exit code is 0 if
# nothing is. lintian and systemd-analyze are used where they are there.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wrong=0
expect() { # WHAT COMMAND...
  local what=$1
  shift
  "$@" > "$work/output" 2>&1 && return
  echo "wrong: $what"
  sed 's/^/  /' "$work/output"
  wrong=1
}
says() { [[ $("${@:2}") == *"$1"* ]]; }
has() { tar --list --file "$1" | grep -xF "$2"; } # ARCHIVE FILE

version=$(sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' Directory.Build.props)
name=loadbalancer-$version
deb=artifacts/loadbalancer_${version}_amd64.deb

# --- the files ------------------------------------------------------------------------------------------------------------------------

expect "aot: --version names the build" says "$version (Native AOT, commit " artifacts/aot/loadbalancer --version
expect "r2r: --version names the build" says "$version (ReadyToRun, commit " artifacts/r2r/loadbalancer --version
for build in aot r2r; do
  expect "$build: the configuration beside it is valid" "artifacts/$build/loadbalancer" check
  expect "$build: it knows its settings" says '"MaxInFlight"' "artifacts/$build/loadbalancer" schema
done
for archive in "artifacts/$name-linux-x64.tar.gz" "artifacts/$name-linux-x64-dotnet.tar.gz"; do
  for file in loadbalancer appsettings.json LICENSE THIRD-PARTY-NOTICES; do expect "$archive has $file" has "$archive" "$name/$file"; done
done
# What it needs of the system beside this is loaded where it is used: OpenSSL.
expect "aot: needs glibc alone" test -z "$(readelf -d artifacts/aot/loadbalancer | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' \
  | grep -vE '^(libc|libm|libdl|libpthread|librt|ld-linux-x86-64)\.so')"
expect "aot: has no symbols for debuggers" test -z "$(readelf -SW artifacts/aot/loadbalancer | grep -oE '\.(debug_info|symtab)')"

# --- the Debian package ---------------------------------------------------------------------------------------------------------------

expect "deb: it can be unpacked" dpkg-deb --raw-extract "$deb" "$work/deb"
for file in usr/bin/loadbalancer usr/lib/systemd/system/loadbalancer.service etc/loadbalancer/appsettings.json \
  etc/logrotate.d/loadbalancer usr/share/doc/loadbalancer/copyright usr/share/doc/loadbalancer/docs/operations.md \
  usr/share/man/man1/loadbalancer.1.gz; do
  expect "deb: $file" test -s "$work/deb/$file"
done
expect "deb: the license is in it" grep -q "Permission is hereby granted" "$work/deb/usr/share/doc/loadbalancer/copyright"
expect "deb: its files are root's" test -z "$(dpkg-deb --contents "$deb" | awk '$2 != "root/root"')"
for script in postinst prerm postrm; do expect "deb: $script is a script" sh -n "$work/deb/DEBIAN/$script"; done
for configuration in packaging/debian packaging/container; do
  expect "$configuration/appsettings.json is valid" artifacts/aot/loadbalancer check -c "$configuration/appsettings.json" \
    --LoadBalancer:Listeners:web:AccessLog=Off # Its directory is made when the package is installed.
done
unit=packaging/debian/loadbalancer.service
stop=$(sed -n 's/^TimeoutStopSec=//p' "$unit")
expect "unit: it waits longer for a stop than the program takes (30 s)" test "$stop" -gt 30
if command -v systemd-analyze > /dev/null; then
  sed "s:^ExecStart=/usr/bin/loadbalancer:ExecStart=/bin/true:; /^Documentation=/d" "$unit" > "$work/loadbalancer.service"
  expect "unit: systemd reads it" test -z "$(systemd-analyze verify "$work/loadbalancer.service" 2>&1 | grep -F "$work")"
fi
if command -v lintian > /dev/null; then
  # The program is one file with all its libraries in it, at a fixed address (LoadBalancer.csproj); the project has no mail address.
  expect "deb: lintian" lintian --allow-root --fail-on warning \
    --suppress-tags embedded-library,hardening-no-pie,bogus-mail-host,bogus-mail-host-in-debian-changelog "$deb"
fi

# --- the Dockerfile: no container engine is needed for this ---------------------------------------------------------------------------

check_dockerfile() {
  local line keyword stage='' copies=0 user='' entry='' missing=0 stages=' ' source
  while IFS= read -r line; do
    read -r keyword rest <<< "$line"
    case $keyword in
      FROM)
        [[ $rest == *:* ]] || { echo "an image without a tag: $rest"; missing=1; }
        stages+="$(sed -n 's/.* AS //p' <<< "$rest") "
        stage=$rest user='' entry=''
        ;;
      COPY)
        read -r -a sources <<< "$rest"
        if [[ ${sources[0]} == --from=* ]]; then
          [[ $stages == *" ${sources[0]#--from=} "* ]] || { echo "no such stage: ${sources[0]}"; missing=1; }
        else
          for source in "${sources[@]:0:${#sources[@]}-1}"; do
            [ -e "$source" ] || { echo "not in the repository: $source"; missing=1; }
            # Only what the ignore file names again is sent to the engine.
            grep -qxF "!${source%%/*}" packaging/Dockerfile.dockerignore || { echo "ignored: $source"; missing=1; }
          done
        fi
        [[ $rest != *LICENSE*/usr/share/doc/* ]] || copies=1
        ;;
      USER) user=$rest ;;
      ENTRYPOINT | CMD) entry+=$rest; python3 -c 'import json, sys; json.loads(sys.argv[1])' "$rest" || missing=1 ;;
      RUN | ARG | ENV | WORKDIR | EXPOSE | STOPSIGNAL | LABEL) ;;
      *) echo "not an instruction: $line"; missing=1 ;;
    esac
  done < <(sed -e ':a' -e '/\\$/{N;s/\\\n//;ta' -e '}' packaging/Dockerfile | grep -vE '^ *(#|$)')
  [[ $stage == *runtime-deps:*-chiseled ]] || { echo "the last image is not a chiselled one: $stage"; missing=1; }
  [[ -n $user && $user != root ]] || { echo "it runs as root"; missing=1; }
  [[ $entry == *'/usr/bin/loadbalancer'* ]] || { echo "it does not start the program"; missing=1; }
  [ "$copies" -eq 1 ] || { echo "the license is not copied"; missing=1; }
  return "$missing"
}
expect "packaging/Dockerfile" check_dockerfile

exit "$wrong"
