-- The keys, what they were made from, what must never be made from it again, and what is still to be told.

-- One row a key, never deleted: a code's second key, a second revocation and a second life are all refused here.
CREATE TABLE api_keys (
    key_id text COLLATE "C" PRIMARY KEY,
    -- Arrival order: which of two keys of one millisecond is the older one.
    number bigint GENERATED ALWAYS AS IDENTITY,
    -- HMAC-SHA256(pepper of that version, SHA-256(key)).
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    pepper_version integer NOT NULL,
    -- SHA-256 of the one-time code; null for personal, file and rotated keys, and for a superseded attempt.
    code_digest bytea,
    attempt integer NOT NULL DEFAULT 1,
    user_id bigint NOT NULL,
    username text NOT NULL,
    client_id text COLLATE "C",
    identifier text NOT NULL,
    permissions text[] NOT NULL CHECK (cardinality(permissions) > 0),
    used_permissions text[] NOT NULL DEFAULT '{}',
    origin text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'revoked')),
    -- Counts what made the key worth less or other: pause, narrowing, expiry, revocation.
    epoch integer NOT NULL DEFAULT 0,
    consented_on bigint NOT NULL,
    created_on bigint NOT NULL,
    expires_on bigint,
    last_used_on bigint,
    ended_on bigint,
    end_reason text,
    -- It ended before anybody was known to hold it.
    undelivered boolean NOT NULL DEFAULT false,
    CONSTRAINT api_keys_code_digest_key UNIQUE (code_digest),
    CONSTRAINT api_keys_end_is_told CHECK ((status = 'revoked') = (ended_on IS NOT NULL AND end_reason IS NOT NULL))
) WITH (fillfactor = 85);

CREATE INDEX api_keys_live_by_holding ON api_keys (user_id, client_id, number) WHERE status <> 'revoked';
CREATE INDEX api_keys_ended_by_user ON api_keys (user_id, ended_on) WHERE status = 'revoked';

-- Keys whose answer nobody has confirmed yet: small, so that confirming and sweeping leave api_keys alone.
CREATE TABLE undelivered_keys (
    key_id text COLLATE "C" PRIMARY KEY,
    created_on bigint NOT NULL
);

-- What one person gave to one client. Its row is the lock that puts issuing and revoking in a line.
CREATE TABLE holdings (
    user_id bigint NOT NULL,
    -- '' for the person's own keys.
    client_id text COLLATE "C" NOT NULL,
    -- Keys ever asked for: an upper bound that spares most holdings the count of their live keys.
    issued bigint NOT NULL DEFAULT 0,
    -- Consents given up to here are withdrawn.
    void_before bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, client_id)
) WITH (fillfactor = 70);
-- Whose keys end with a client; kept here, since a holding is made once and a key each time.
CREATE INDEX holdings_by_client ON holdings (client_id, user_id);

-- Withdrawn as a whole: every consent of a person ('u', the user's number) or to a client ('c', its id).
CREATE TABLE principal_voids (
    kind "char" NOT NULL CHECK (kind IN ('u', 'c')),
    name text COLLATE "C" NOT NULL,
    void_before bigint NOT NULL,
    PRIMARY KEY (kind, name)
);

-- Codes that came back before their key did: that key is born revoked.
CREATE TABLE replayed_codes (
    code_digest bytea PRIMARY KEY,
    marked_on bigint NOT NULL
);
CREATE INDEX replayed_codes_marked_on ON replayed_codes (marked_on);

-- Keys of resource servers, made by the operator.
CREATE TABLE service_keys (
    key_id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    pepper_version integer NOT NULL,
    permissions text[] NOT NULL CHECK (cardinality(permissions) > 0),
    created_on bigint NOT NULL,
    last_used_on bigint,
    ended_on bigint,
    end_reason text
);

-- What happened to each key, in words that hold no secret.
CREATE TABLE audit (
    key_id text COLLATE "C" NOT NULL,
    event text NOT NULL CHECK (
        event IN ('issued', 'revoked', 'paused', 'resumed', 'narrowed', 'expiry_moved', 'renamed', 'rotated')
    ),
    reason text NOT NULL DEFAULT '',
    happened_on bigint NOT NULL
);
-- Exactly once, whatever is delivered twice.
CREATE UNIQUE INDEX audit_once ON audit (key_id, event) WHERE event IN ('issued', 'revoked');
CREATE INDEX audit_of_changes ON audit (key_id) WHERE event NOT IN ('issued', 'revoked');

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
