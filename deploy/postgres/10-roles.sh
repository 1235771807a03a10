#!/bin/sh
# First start of the database: makes the roles of roles.sql with the passwords of the services' URLs.
set -eu
password_of() {
    sed -n 's#^[a-z]*://[^:/]*:\([^@/]*\)@.*#\1#p' "/run/secrets/${1}_database_url"
}
MIGRATE_PASSWORD=$(password_of migrate)
AUTH_API_PASSWORD=$(password_of auth_api)
KEY_ISSUER_PASSWORD=$(password_of key_issuer)
export MIGRATE_PASSWORD AUTH_API_PASSWORD KEY_ISSUER_PASSWORD
psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --file "/docker-entrypoint-initdb.d/sql/roles.sql"
unset MIGRATE_PASSWORD AUTH_API_PASSWORD KEY_ISSUER_PASSWORD
