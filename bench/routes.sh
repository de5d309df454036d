# The scenarios routes, logins and traces of run.sh, which reads this file: what a route costs that changes requests and limits them, what
# wrong passwords on one route cost the clients of another, and what traces of one request in a hundred cost.

port+=([nginx+routes]=9180 [ours+routes]=9181 [ours+logins]=9182 [ours+traces]=9183 [collector]=9184)

write_route_configurations() {
  cat > "$work/nginx+routes.conf" <<END
daemon off; user root; worker_processes 2; worker_rlimit_nofile 65536; pid $work/nginx+routes.pid; error_log $work/nginx+routes.log crit;
events { worker_connections 16384; }
http {
  access_log off; keepalive_timeout 300; keepalive_requests 100000000; client_max_body_size 0;
  upstream web { server 127.0.0.1:9100; keepalive 1024; keepalive_requests 100000000; }
  limit_req_zone \$binary_remote_addr zone=perClient:10m rate=1000000r/s;
  server {
    listen 127.0.0.1:${port[nginx+routes]} backlog=4096;
    location = /small { return 200; } # asked for at the start
    location /api/ {
      limit_req zone=perClient burst=1000000 nodelay;
      proxy_pass http://web/; proxy_http_version 1.1; proxy_request_buffering off;
      proxy_set_header Connection ""; proxy_set_header Host \$http_host;
      proxy_set_header X-Forwarded-For \$remote_addr; proxy_set_header X-Forwarded-Proto \$scheme;
      proxy_set_header X-Forwarded-Host \$http_host; proxy_set_header Via "1.1 nginx"; proxy_set_header X-Client \$remote_addr;
      add_header X-Served-By edge;
    }
  }
}
END
  cat > "$work/ours+routes.json" <<END
{ "LoadBalancer": {
  "RateLimits": { "perClient": { "Permits": 1000000, "Window": "1s" } },
  "Listeners": { "web": { "Address": "http://127.0.0.1:${port[ours+routes]}", "Pool": "web", "AccessLog": "Off",
    "KeepAliveTimeout": "00:05:00",
    "Routes": [ { "Name": "api", "Path": "/api", "StripPrefix": true, "Pool": "web", "RateLimit": "perClient",
      "RequestHeaders": { "Set": { "X-Client": "{client}" } }, "ResponseHeaders": { "Set": { "X-Served-By": "edge" } } } ] } },
  "Pools": { "web": { "Backends": { "backend": { "Address": "http://127.0.0.1:9100" } } } } } }
END
  printf 'anna:%s\n' "$(openssl rand -base64 12 | htpasswd -niB -C 10 anna | cut -d: -f2)" > "$work/users.htpasswd"
  cat > "$work/ours+logins.json" <<END
{ "LoadBalancer": {
  "Authentication": { "staff": { "Type": "Basic", "UsersFile": "$work/users.htpasswd" } },
  "Listeners": { "web": { "Address": "http://127.0.0.1:${port[ours+logins]}", "Pool": "web", "AccessLog": "Off",
    "Routes": [ { "Name": "staff", "Path": "/staff", "Pool": "web", "Authentication": "staff" } ] } },
  "Pools": { "web": { "Backends": { "backend": { "Address": "http://127.0.0.1:9100" } } } } } }
END
}

# The same file through a plain proxy, and under a route that takes a prefix away, sets a field in each direction and counts the requests of
# each client.
routes() {
  start nginx+routes
  start ours+routes
  interleave "104 bytes, 64 connections, a route that changes and counts" 64 api/small nginx nginx+routes ours ours+routes
  end nginx+routes
  end ours+routes
}

# With a collector that takes everything.
traces() {
  sed -e 's/"LoadBalancer": {/"LoadBalancer": { "Tracing": { "Sample": 0.01 },/' -e "s/:${port[ours]}\"/:${port[ours+traces]}\"/" \
    "$work/ours.json" > "$work/ours+traces.json"
  python3 -c "
import http.server, socketserver
class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args): pass
http.server.HTTPServer(('127.0.0.1', ${port[collector]}), Collector).serve_forever()" &
  pid[collector]=$!
  # Of traces only: where metrics are sent too, they cost something of their own.
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:${port[collector]}/v1/traces" OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf \
    start ours+traces
  interleave "104 bytes, 64 connections, traces of 1 %" 64 small ours ours+traces
  end ours+traces
  end collector
}

# Requests of an open route, alone and while 200 wrong passwords a second are sent to another route.
logins() {
  local round attack
  start ours+logins
  port[quiet]=${port[ours+logins]} pid[quiet]=${pid[ours+logins]}
  wrk -t1 -c8 -d3s "http://127.0.0.1:${port[quiet]}/small" > /dev/null # warm up
  for ((round = 0; round < rounds; round++)); do
    load "104 bytes, 8 connections, beside wrong passwords" quiet 8 small
    h2load --h1 -t1 -c50 --rps=4 -D "$((seconds + 2))" -H "Authorization: Basic $(printf anna:wrong | base64)" \
      "http://127.0.0.1:${port[ours+logins]}/staff" > "$work/attack" &
    attack=$!
    sleep 0.5
    load "104 bytes, 8 connections, beside wrong passwords" ours+logins 8 small
    wait "$attack"
    grep -E "^(requests|status codes):" "$work/attack" >&2
  done
  sed -i 's/\tquiet\t/\tours\t/' "$results"
  unset "pid[quiet]"
  end ours+logins
}
