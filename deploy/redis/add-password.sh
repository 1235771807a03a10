#!/bin/sh
# Gives a user a second password, beside the one it has, until Redis restarts. usage: add-password.sh USER PASSWORD
set -eu
password=$(sed -n 's#^[a-z]*://[^:/]*:\([^@/]*\)@.*#\1#p' /run/secrets/operator_redis_url)
REDISCLI_AUTH=$password redis-cli --user operator ACL SETUSER "$1" ">$2"
