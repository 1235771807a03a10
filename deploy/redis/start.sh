#!/bin/sh
# Starts Redis with one user per service (users.acl.template; the passwords are those of the services' URLs, known here
# by their digests), an append-only file, no eviction and a limit of memory. Runs in any image of Redis or Valkey.
# Nobody can be the user `default`; it keeps its rights because the append-only file is loaded in its name: without them
# Redis 7.0 drops what scripts wrote at every restart.
set -eu

# Root only for as long as it takes to give the data to the image's own user: the server has no right of root's at all.
# An image without this program has an entrypoint that lets go of root in its own way.
if [ "$(id -u)" = 0 ]; then
    for user in redis valkey; do
        lesser="setpriv --reuid $user --regid $user --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all"
        if $lesser true 2>/dev/null; then
            # Also where the users' file goes: not every engine gives it its mode again when a container restarts.
            chown -R "$user" /data /run/redis-latchkey
            exec $lesser sh "$0"
        fi
    done
fi

# Neither a password nor its digest is ever an argument of a program, where everybody on the machine could read it.
edits=/run/redis-latchkey/users.sed
users=/run/redis-latchkey/users.acl
umask 077
: >"$edits"
for name in auth_api consent_ui key_issuer operator; do
    password=$(sed -n 's#^[a-z]*://[^:/]*:\([^@/]*\)@.*#\1#p' "/run/secrets/${name}_redis_url")
    if [ -z "$password" ]; then
        echo "redis: secrets/${name}_redis_url holds no redis://user:password@host/ (./latchkey init makes one)" >&2
        exit 78
    fi
    digest=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
    printf 's/@%s@/%s/\n' "$name" "$digest" >>"$edits"
done
sed -f "$edits" "${0%/*}/users.acl.template" >"$users"
[ "$(id -u)" != 0 ] || chmod 444 "$users"
umask 022
exec docker-entrypoint.sh redis-server \
    --aclfile "$users" \
    --appendonly yes --appendfsync everysec --save '' \
    --maxmemory "${REDIS_MAXMEMORY:-512mb}" --maxmemory-policy noeviction \
    --stop-writes-on-bgsave-error no \
    --tcp-keepalive 60 --timeout 0
