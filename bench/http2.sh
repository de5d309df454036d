# The scenarios h2 and grpc of run.sh, which reads this file: HTTP/2 from clients over TLS, and gRPC calls to backends without TLS.
# h2load plays the clients.

port+=([nginx+h2]=9141 [haproxy+h2]=9142 [ours+h2]=9143 [backend+grpc]=9144 [nginx+grpc]=9145 [haproxy+grpc]=9146 [ours+grpc]=9147)

write_http2_configurations() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -keyout "$work/tls.key" \
    -out "$work/tls.crt" 2> /dev/null
  cat "$work/tls.crt" "$work/tls.key" > "$work/tls.pem"
  printf '\0\0\0\0\005hello' > "$work/message" # a gRPC message: not compressed, 5 bytes
  write_http2_nginx nginx+h2 "ssl http2" 'proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header' 127.0.0.1:9100
  write_http2_nginx nginx+grpc http2 'grpc_pass grpc://web; grpc_set_header' "127.0.0.1:${port[backend+grpc]}"
  write_haproxy haproxy+h2 "ssl crt $work/tls.pem alpn h2" 127.0.0.1:9100 https
  write_haproxy haproxy+grpc "proto h2" "127.0.0.1:${port[backend+grpc]} proto h2" http
  # Trailers need a body; the message is the answer.
  cat > "$work/backend+grpc.conf" <<END
daemon off; user root; worker_processes 2; worker_rlimit_nofile 65536; pid $work/backend+grpc.pid; error_log $work/backend+grpc.log crit;
events { worker_connections 16384; }
http {
  access_log off; keepalive_timeout 300; keepalive_requests 100000000;
  server {
    listen 127.0.0.1:${port[backend+grpc]} http2 backlog=4096;
    location / { default_type application/grpc; add_trailer grpc-status 0; return 200 "hello hello"; }
  }
}
END
  cat > "$work/ours+h2.json" <<END
{ "LoadBalancer": {
  "Listeners": { "web": { "Address": "https://127.0.0.1:${port[ours+h2]}", "Pool": "web",
    "Certificates": [ { "File": "$work/tls.crt", "KeyFile": "$work/tls.key" } ] } },
  "Pools": { "web": { "Backends": { "backend": { "Address": "http://127.0.0.1:9100" } } } } } }
END
  cat > "$work/ours+grpc.json" <<END
{ "LoadBalancer": {
  "Listeners": { "web": { "Address": "http://127.0.0.1:${port[ours+grpc]}", "HttpVersion": "2", "Pool": "web" } },
  "Pools": { "web": { "HttpVersion": "2", "Backends": { "backend": { "Address": "http://127.0.0.1:${port[backend+grpc]}" } } } } } }
END
}

write_http2_nginx() { # NAME LISTEN PASS BACKEND; the last word of PASS sets a field
  cat > "$work/$1.conf" <<END
daemon off; user root; worker_processes 2; worker_rlimit_nofile 65536; pid $work/$1.pid; error_log $work/$1.log crit;
events { worker_connections 16384; }
http {
  access_log off; keepalive_timeout 300; keepalive_requests 100000000; client_max_body_size 0;
  upstream web { server $4; keepalive 1024; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port[$1]} $2 backlog=4096; ssl_certificate $work/tls.crt; ssl_certificate_key $work/tls.key;
    location / {
      $3 Host \$http_host; ${3##*; } X-Forwarded-For \$remote_addr;
      ${3##*; } X-Forwarded-Proto \$scheme; ${3##*; } X-Forwarded-Host \$http_host;
    }
  }
}
END
}

http2_answers() { # NAME
  case $1 in
    *+h2) curl --silent --fail --insecure --http2 --output /dev/null --max-time 5 "https://127.0.0.1:${port[$1]}/small" ;;
    *) curl --silent --fail --http2-prior-knowledge --output /dev/null --max-time 5 --data x "http://127.0.0.1:${port[$1]}/" ;;
  esac
}

http2_load() { # SCENARIO PROXY SECONDS H2LOAD-ARGUMENT...: one round; results of a scenario without a name are dropped
  local scenario=$1 proxy=$2 time=$3 before after
  shift 3
  before=$(cpu_ticks "$proxy")
  h2load -t1 -D "$time" "$@" > "$work/h2load"
  after=$(cpu_ticks "$proxy")
  [ -n "$scenario" ] || return 0
  awk -v scenario="$scenario" -v proxy="${proxy%+*}" -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v time="$time" '
    $1 == "requests:" { requests = $8; failed = $10 + $12 + $14 }
    END {
      OFS = "\t"
      print scenario, proxy, "requests/s", requests / time
      print scenario, proxy, "CPU µs/request", ticks / hz * 1e6 / requests
      if (failed > 0) print scenario, proxy, "failed: " failed > "/dev/stderr"
    }' "$work/h2load" >> "$results"
}

http2_interleave() { # SCENARIO SUFFIX URL-PATH H2LOAD-ARGUMENT...
  local scenario=$1 suffix=$2 path=$3 proxy round scheme=http
  shift 3
  [ "$suffix" != h2 ] || scheme=https
  for ((round = -1; round < rounds; round++)); do # the first to warm up
    for proxy in nginx haproxy ours; do
      http2_load "$([ "$round" -lt 0 ] || echo "$scenario")" "$proxy+$suffix" $((round < 0 ? 10 : seconds)) "$@" \
        "$scheme://127.0.0.1:${port[$proxy+$suffix]}/$path"
    done
  done
}

h2() {
  local proxy
  for proxy in nginx haproxy ours; do start "$proxy+h2"; done
  http2_interleave "HTTP/2 over TLS: 104 bytes, 16 connections of 32 streams" h2 small -c16 -m32
  http2_interleave "HTTP/2 over TLS: 1 MB, 4 connections of 8 streams" h2 large -c4 -m8
  for proxy in nginx haproxy ours; do end "$proxy+h2"; done
}

grpc() {
  local proxy
  for proxy in backend nginx haproxy ours; do start "$proxy+grpc"; done
  http2_interleave "gRPC: unary calls, 4 connections of 16 streams" grpc echo.Echo/Say -c4 -m16 \
    -d "$work/message" -H "content-type: application/grpc" -H "te: trailers"
  for proxy in backend nginx haproxy ours; do end "$proxy+grpc"; done
}
