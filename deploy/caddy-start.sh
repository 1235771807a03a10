#!/bin/sh
# Starts Caddy with the one directive of the Caddyfile that 2.6 and later versions call by different names.
set -eu
case $(caddy version) in
    2.6.* | v2.6.*) REQUEST_BUFFERS=buffer_requests ;;
    *) REQUEST_BUFFERS='request_buffers 1MB' ;;
esac
export REQUEST_BUFFERS
exec caddy run --config /etc/caddy/Caddyfile --adapter caddyfile
