-- Accounts, the client registry, standing grants, and what leaves the service: outbox and audit.
-- Times are Unix milliseconds. Digests are SHA-256 in hex; no secret is ever in clear.

CREATE TABLE users (
    user_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username text COLLATE "C" NOT NULL CONSTRAINT users_username_shape CHECK (username ~ '^[A-Za-z0-9_-]{3,30}$'),
    password_hash text NOT NULL,
    session_epoch integer NOT NULL DEFAULT 0,
    disabled_on bigint,
    created_on bigint NOT NULL
);
CREATE UNIQUE INDEX users_username_taken ON users (lower(username));

CREATE TABLE clients (
    client_id text COLLATE "C" CONSTRAINT clients_id_taken PRIMARY KEY,
    name text NOT NULL,
    author_id bigint REFERENCES users,
    redirect_uris text[] NOT NULL,
    requested_permissions text[] NOT NULL,
    api_key_format text,
    api_key_filename text,
    webhook_uri text,
    homepage text,
    description text,
    public boolean NOT NULL,
    secret_digest text,
    old_secret_digest text,
    old_secret_until bigint,
    by_operator boolean NOT NULL DEFAULT false,
    self_registered boolean NOT NULL DEFAULT false,
    created_on bigint NOT NULL,
    CONSTRAINT clients_secret_unless_public CHECK (public = (secret_digest IS NULL))
);
CREATE INDEX clients_by_author ON clients (author_id, created_on DESC);

-- A person's standing consent to one client.
CREATE TABLE grants (
    user_id bigint NOT NULL CONSTRAINT grants_user REFERENCES users,
    client_id text COLLATE "C" NOT NULL CONSTRAINT grants_client REFERENCES clients ON DELETE CASCADE,
    permissions text[] NOT NULL,
    first_granted_on bigint NOT NULL,
    granted_on bigint NOT NULL,
    PRIMARY KEY (user_id, client_id)
);
CREATE INDEX grants_by_client ON grants (client_id);

-- Clients whose row is gone while the end of their keys is not confirmed yet: a retried deletion finds them here.
CREATE TABLE ending_clients (
    client_id text COLLATE "C" PRIMARY KEY,
    author_id bigint,
    name text NOT NULL,
    before bigint NOT NULL
);

-- Events on their way to the bus; written with the change they tell of, marked by the relay.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL,
    type text NOT NULL,
    body bytea NOT NULL,
    traceparent text,
    created_on bigint NOT NULL,
    published_on bigint
);
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_on IS NULL;
CREATE INDEX outbox_published ON outbox (published_on) WHERE published_on IS NOT NULL;

-- Who changed what; written in the transaction of the change.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_on bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL
);
CREATE INDEX audit_by_subject ON audit (subject, id DESC);
