#!/usr/bin/env bash
# Asks run.sh's programs for everything that README.md shows, and prints what is wrong. The exit code is 0 if nothing is.
cd "$(dirname "${BASH_SOURCE[0]}")"
failed=0

site() { curl --silent --include --max-time 10 --cacert secrets/ca.pem "$@"; }
expect() { # WHAT TEXT COMMAND...: the output has the text
  local what=$1 text=$2 output
  shift 2
  output=$("$@" 2>&1)
  if grep --quiet --ignore-case -- "$text" <<< "$output"; then
    echo "right: $what"
  else
    printf 'WRONG: %s: no "%s" in\n%s\n' "$what" "$text" "$output"
    failed=1
  fi
}
searches() { for _ in 1 2 3 4 5 6; do site --output /dev/null --write-out '%{http_code} ' https://shop.localhost:9343/search; done; }
visits() { # how many of 300 go to the canary
  for _ in {1..300}; do echo "url = https://shop.localhost:9343/"; done |
    curl --silent --cacert secrets/ca.pem --config - | grep --count '^canary:'
}
gzipped() { # how many bytes of the report arrive, and how many there are
  curl --silent --cacert secrets/ca.pem --output /dev/null --write-out '%{size_download}' "$@" https://shop.localhost:9343/report
}
by_itself() { # it comes within seconds
  for _ in {1..150}; do
    curl --silent --max-time 10 --cacert secrets/pebble-root.pem https://www.localhost:9343/ && return
    sleep 0.2
  done
  curl --silent --show-error --max-time 10 --cacert secrets/pebble-root.pem https://www.localhost:9343/
}
smaller() { [ "$(gzipped --header 'Accept-Encoding: gzip')" -lt $(($(gzipped) / 3)) ] && echo smaller; }
maintain() { # NETWORK STATUS: sets the flag, and waits until the shop answers with the status
  sed "s,\"Clients\": \[ \"[^\"]*\" \],\"Clients\": [ \"$1\" ]," edge.json > secrets/edge.json
  cat secrets/edge.json > edge.json
  for _ in {1..100}; do
    [ "$(site --output /dev/null --write-out '%{http_code}' https://shop.localhost:9343/)" != "$2" ] || return 0
    sleep 0.1
  done
}

expect "http is sent to https" '^location: https://shop.localhost:9343/a?b=c' site 'http://shop.localhost:9370/a?b=c'
expect "each name has its certificate" 'CN = \?admin' \
  openssl s_client -connect 127.0.0.1:9343 -servername admin.localhost -CAfile secrets/ca.pem
if [ -e secrets/pebble-root.pem ]; then
  expect "a certificate that has come by itself" '^\(shop\|canary\): GET /' by_itself
fi
expect "the shop, or 1 of 20 times the canary" '^\(shop\|canary\): GET /a?b=c' site 'https://shop.localhost:9343/a?b=c'
expect "the canary by a field" '^canary: GET /' site --header 'X-Canary: 1' https://shop.localhost:9343/
expect "the API wants a token" '^HTTP/2 401' site https://shop.localhost:9343/api/orders
expect "the API without its prefix, with who asks" '^X-Partner: partner-7' \
  site --header "Authorization: Bearer $(cat secrets/token)" https://shop.localhost:9343/api/orders
expect "the same: the target" '^api: GET /orders$' \
  site --header "Authorization: Bearer $(cat secrets/token)" https://shop.localhost:9343/api/orders
expect "staff want a password" '^www-authenticate: Basic realm="staff"' site https://admin.localhost:9343/
expect "staff with one" '^X-User: anna' site --user anna:tour https://admin.localhost:9343/
expect "a rate limit" '200 200 200 200 200 429' searches
expect "a smaller report" smaller smaller
expect "an error page for a browser" 'Something is broken' site --header 'Accept: text/html' https://shop.localhost:9343/gone
expect "text for a program" '^503 \|^HTTP/2 50[23]' site https://shop.localhost:9343/gone
expect "about 5 % of 300 visits go to the canary" '^[1-9]$\|^[1-3][0-9]$' visits
maintain 0.0.0.0/0 503
expect "the maintenance page" 'We are back at 10:00' site https://shop.localhost:9343/
maintain 192.0.2.0/24 200
expect "the shop again" '^HTTP/2 200' site https://shop.localhost:9343/
expect "an access log in JSON" '"route":"api"' grep --max-count 1 '"route":"api"' secrets/access.log
exit "$failed"
