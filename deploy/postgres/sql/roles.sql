-- The roles of Latchkey and their schemas, for a database of its own. May be run again; run it as a superuser or the
-- database's owner with CREATEROLE, with MIGRATE_PASSWORD, AUTH_API_PASSWORD and KEY_ISSUER_PASSWORD in psql's environment.
--
--   latchkey_migrate     owns both schemas: it alone can change tables
--   latchkey_auth_api    reads and writes rows of the schema auth, and nothing else
--   latchkey_key_issuer  reads and writes rows of the schema keys, and nothing else
-- A statement that fails must not leave a password in the server's log.
SET log_min_error_statement = panic;
\getenv migrate_password MIGRATE_PASSWORD
\getenv auth_api_password AUTH_API_PASSWORD
\getenv key_issuer_password KEY_ISSUER_PASSWORD

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['latchkey_migrate', 'latchkey_auth_api', 'latchkey_key_issuer']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE latchkey_migrate LOGIN PASSWORD :'migrate_password';
ALTER ROLE latchkey_auth_api LOGIN PASSWORD :'auth_api_password';
ALTER ROLE latchkey_key_issuer LOGIN PASSWORD :'key_issuer_password';

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format(
    'GRANT CONNECT ON DATABASE %I TO latchkey_migrate, latchkey_auth_api, latchkey_key_issuer', current_database()
) \gexec
REVOKE ALL ON SCHEMA public FROM PUBLIC;

GRANT latchkey_migrate TO CURRENT_USER;
CREATE SCHEMA IF NOT EXISTS auth AUTHORIZATION latchkey_migrate;
CREATE SCHEMA IF NOT EXISTS keys AUTHORIZATION latchkey_migrate;
GRANT USAGE ON SCHEMA auth TO latchkey_auth_api;
GRANT USAGE ON SCHEMA keys TO latchkey_key_issuer;

-- What is there already, and what migrations will add.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA auth TO latchkey_auth_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA keys TO latchkey_key_issuer;
ALTER DEFAULT PRIVILEGES FOR ROLE latchkey_migrate IN SCHEMA auth
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO latchkey_auth_api;
ALTER DEFAULT PRIVILEGES FOR ROLE latchkey_migrate IN SCHEMA keys
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO latchkey_key_issuer;
ALTER DEFAULT PRIVILEGES FOR ROLE latchkey_migrate IN SCHEMA auth GRANT USAGE ON SEQUENCES TO latchkey_auth_api;
ALTER DEFAULT PRIVILEGES FOR ROLE latchkey_migrate IN SCHEMA keys GRANT USAGE ON SEQUENCES TO latchkey_key_issuer;
