#!/usr/bin/env bash
# Makes what is installed, in artifacts/:
#
#   aot   loadbalancer-VERSION-linux-x64.tar.gz          one file of machine code (Native AOT), which needs no .NET
#   r2r   loadbalancer-VERSION-linux-x64-dotnet.tar.gz   one file that needs the ASP.NET Core runtime 10 (ReadyToRun)
#   deb   loadbalancer_VERSION_amd64.deb                 a Debian package of the first one: unit, user, configuration, log rotation
#
#   packaging/build.sh [aot|r2r|deb]...    without an argument: all of them
#
# The unpacked files are in artifacts/aot and artifacts/r2r. It needs the .NET 10 SDK; for aot and deb Debian's clang, binutils and
# zlib1g-dev too. packaging/Dockerfile uses this script for a container image.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1

version=$(sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' Directory.Build.props)
commit=${COMMIT:-$(git rev-parse --short HEAD 2> /dev/null || true)}
# Files have the time of the commit, so that the same sources make the same packages.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
export SOURCE_DATE_EPOCH
out=artifacts
made=()

need() { # PROGRAM PACKAGE
  command -v "$1" > /dev/null || { echo "packaging/build.sh needs $1 (Debian: apt-get install $2)" >&2; exit 1; }
}

# Its intermediate files are of its own: what `dotnet build` has made stays as it is.
publish() { # NAME PROPERTY...
  local name=$1
  shift
  echo "building $name"
  rm -rf "${out:?}/$name" "$out/work/$name"
  mkdir -p "$out/$name" "$out/work/$name"
  dotnet publish LoadBalancer --configuration Release --runtime linux-x64 --output "$out/work/$name/publish" \
    --artifacts-path "$out/work/obj-$name" --verbosity quiet --nologo -p:RunAnalyzers=false "-p:Commit=$commit" "$@"
  install -m 755 "$out/work/$name/publish/LoadBalancer" "$out/$name/loadbalancer"
  install -m 644 LoadBalancer/appsettings.json LICENSE packaging/THIRD-PARTY-NOTICES "$out/$name"
}

pack() { # NAME ARCHIVE: the unpacked files, in a folder
  local folder=loadbalancer-$version
  tar --create --gzip --file "$out/$2" --directory "$out/$1" --transform "s:^\.:$folder:" --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime "@$SOURCE_DATE_EPOCH" .
  made+=("$out/$1/loadbalancer" "$out/$2")
}

make_aot() {
  local notices
  need clang "clang zlib1g-dev"
  need objdump binutils
  publish aot -p:PublishAot=true
  # Of the runtime, which is a part of the file.
  notices=$(dirname "$(readlink -f "$(command -v dotnet)")")/ThirdPartyNotices.txt
  [ ! -e "$notices" ] || install -m 644 "$notices" "$out/aot/DOTNET-THIRD-PARTY-NOTICES"
  pack aot "loadbalancer-$version-linux-x64.tar.gz"
}

make_r2r() {
  publish r2r --no-self-contained -p:PublishSingleFile=true -p:PublishReadyToRun=true
  pack r2r "loadbalancer-$version-linux-x64-dotnet.tar.gz"
}

# The newest symbol version of glibc that the file uses.
glibc_of() { objdump -T "$1" | sed -n 's/.*(\?GLIBC_\([0-9.]*\))\?.*/\1/p' | sort -uV | tail -1; }

make_deb() {
  need dpkg-deb dpkg-dev
  [ -e "$out/aot/loadbalancer" ] || make_aot
  echo "building deb"
  local root=$out/work/deb doc=$out/work/deb/usr/share/doc/loadbalancer size
  rm -rf "$root"
  mkdir -p "$root/DEBIAN"
  place() { install -D -m "$1" "$2" "$root/$3"; }
  place 755 "$out/aot/loadbalancer" usr/bin/loadbalancer
  place 644 packaging/debian/loadbalancer.service usr/lib/systemd/system/loadbalancer.service
  place 644 packaging/debian/appsettings.json etc/loadbalancer/appsettings.json
  place 644 packaging/debian/logrotate etc/logrotate.d/loadbalancer
  place 644 packaging/debian/loadbalancer.1 usr/share/man/man1/loadbalancer.1
  gzip -9n "$root/usr/share/man/man1/loadbalancer.1"
  mkdir -p "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions"
  "$out/aot/loadbalancer" completion bash > "$root/usr/share/bash-completion/completions/loadbalancer"
  "$out/aot/loadbalancer" completion zsh > "$root/usr/share/zsh/vendor-completions/_loadbalancer"
  chmod 644 "$root"/usr/share/*/*completions/*loadbalancer

  place 644 README.md usr/share/doc/loadbalancer/README.md
  for page in docs/*.md; do place 644 "$page" "usr/share/doc/loadbalancer/$page"; done
  { cat packaging/debian/copyright; sed 's/^$/./; s/^/ /' LICENSE; } > "$doc/copyright"
  install -m 644 "$out"/aot/*THIRD-PARTY-NOTICES "$doc"
  printf 'loadbalancer (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' "$version" \
    "$(sed -n 's/^Maintainer: //p' packaging/debian/control)" "$(date --utc -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n > "$doc/changelog.gz"
  gzip -9nc CHANGELOG.md > "$doc/CHANGELOG.md.gz"
  chmod 644 "$doc"/*.gz "$doc/copyright"

  size=$(du -sk --apparent-size "$root" | cut -f1)
  sed "s/@VERSION@/$version/; s/@GLIBC@/$(glibc_of "$root/usr/bin/loadbalancer")/; s/@SIZE@/$size/" packaging/debian/control \
    > "$root/DEBIAN/control"
  printf '/etc/loadbalancer/appsettings.json\n/etc/logrotate.d/loadbalancer\n' > "$root/DEBIAN/conffiles"
  for script in postinst prerm postrm; do place 755 "packaging/debian/$script" "DEBIAN/$script"; done
  (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) > "$root/DEBIAN/md5sums"
  find "$root" -type d -exec chmod 755 {} +
  chmod 644 "$root"/DEBIAN/{control,conffiles,md5sums}
  dpkg-deb --root-owner-group --build "$root" "$out/loadbalancer_${version}_amd64.deb" > /dev/null
  made+=("$out/loadbalancer_${version}_amd64.deb")
}

[ $# -gt 0 ] || set -- aot r2r deb
for artefact in "$@"; do
  case $artefact in
    aot | r2r | deb) ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 1 ;;
  esac
done
case " $* " in *" deb "*) case " $* " in *" aot "*) ;; *) rm -rf "$out/aot" ;; esac ;; esac # never of an earlier one
for artefact in "$@"; do "make_$artefact"; done

echo
stat --printf '%s %n\n' "${made[@]}" | awk '{ printf "%6.1f MB  %s\n", $1 / 1e6, $2 }'
