#!/bin/sh
# Gives a user a second password, beside the one it has, until Redis restarts. usage: add-password.sh USER < FILE
# The password is the first line of stdin: as an argument everybody on the machine could read it.
set -eu
new=
[ $# = 1 ] && { IFS= read -r new || [ -n "$new" ]; }
if [ -z "$new" ]; then
    echo "usage: add-password.sh USER < FILE    (the new password is the first line of stdin)" >&2
    exit 2
fi
password=$(sed -n 's#^[a-z]*://[^:/]*:\([^@/]*\)@.*#\1#p' /run/secrets/operator_redis_url)
printf '>%s' "$new" | REDISCLI_AUTH=$password redis-cli --user operator -x ACL SETUSER "$1"
