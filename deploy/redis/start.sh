#!/bin/sh
# Starts Redis with one user per service (users.acl.template; the passwords are those of the services' URLs, known here
# by their digests), an append-only file, no eviction and a limit of memory. Runs in any image of Redis or Valkey.
# Nobody can be the user `default`; it keeps its rights because the append-only file is loaded in its name: without them
# Redis 7.0 drops what scripts wrote at every restart.
set -eu
users=/run/redis-latchkey/users.acl
cp "${0%/*}/users.acl.template" "$users"
for name in auth_api consent_ui key_issuer operator; do
    password=$(sed -n 's#^[a-z]*://[^:/]*:\([^@/]*\)@.*#\1#p' "/run/secrets/${name}_redis_url")
    if [ -z "$password" ]; then
        echo "redis: secrets/${name}_redis_url holds no redis://user:password@host/ (./latchkey init makes one)" >&2
        exit 78
    fi
    digest=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
    sed -i "s/@$name@/$digest/" "$users"
done
chmod 444 "$users"
exec docker-entrypoint.sh redis-server \
    --aclfile "$users" \
    --appendonly yes --appendfsync everysec --save '' \
    --maxmemory "${REDIS_MAXMEMORY:-512mb}" --maxmemory-policy noeviction \
    --stop-writes-on-bgsave-error no \
    --tcp-keepalive 60 --timeout 0
