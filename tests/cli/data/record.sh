#!/usr/bin/env bash
# Records access lines of the real nginx and the real Caddy, as test_patterns.py reads them: record.sh DIRECTORY
# What is in the repository was written by nginx 1.22.1 and Caddy 2.6.2, both of Debian 12 (nginx-light, caddy, curl).
set -euo pipefail

directory=$(realpath "${1:?usage: record.sh DIRECTORY}")
work=$(mktemp --directory)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT

cat >"$work/nginx.conf" <<END
daemon off; pid $work/nginx.pid; error_log /dev/null;
events {}
http {
  map \$request_uri \$path_alone { ~^(?<path>[^?]*) \$path; }
  log_format fleet escape=json '{"method":"\$request_method","uri":"\$path_alone","status":"\$status"}';
  access_log $directory/nginx-access.log fleet;
  access_log $directory/combined-access.log combined;
  client_body_temp_path $work/b; proxy_temp_path $work/p; fastcgi_temp_path $work/f;
  uwsgi_temp_path $work/u; scgi_temp_path $work/s;
  server {
    listen 127.0.0.1:18080;
    location ~ ^/v1/episodes/[^/]+/refused { return 412; }
    location ~ ^/v1/episodes/[^/]+/broken { return 503; }
    location /v1/episodes/ { return 201; }
    location / { return 404; }
  }
}
END
cat >"$work/Caddyfile" <<END
{
  admin off
  auto_https off
}
http://127.0.0.1:18081 {
  log {
    output file $directory/caddy-access.log
  }
  respond /v1/episodes/*/refused* 412
  respond /v1/episodes/*/broken* 503
  respond /v1/episodes/* 201
  respond 404
}
END

rm -f "$directory"/{nginx,combined,caddy}-access.log
nginx -c "$work/nginx.conf" &
HOME=$work caddy run --config "$work/Caddyfile" --adapter caddyfile 2>/dev/null &
sleep 2

for port in 18080 18081; do
  put() { curl --silent --output /dev/null --request PUT --data-binary x "${@:2}" "http://127.0.0.1:$port$1"; }
  for number in 1 2 3; do put "/v1/episodes/pi-01/e$number"; done
  for number in 1 2; do put "/v1/episodes/pi-02/refused-$number"; done
  put '/v1/episodes/pi-03/broken-1?a=%22b%22'
  curl --silent --output /dev/null "http://127.0.0.1:$port/health"
  curl --silent --output /dev/null "http://127.0.0.1:$port/v1/episodes/pi-09/e1"
  put /v1/episodes/pi-04/refused --user-agent 'evil" 200 "PUT /v1/episodes/pi-66/x HTTP/1.1" 201'
done
sleep 1
