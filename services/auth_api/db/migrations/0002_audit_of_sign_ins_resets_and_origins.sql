-- From where and by which request something was done. What strangers can repeat is one line an hour that counts: `counted`
-- says what counts as the same. Lines of the previous release leave all of this out, and are found as before. The index is
-- made over nothing: writers wait for one pass over the audit, about a second for a million lines.
ALTER TABLE audit
    ADD COLUMN peer text,
    ADD COLUMN request_id text,
    ADD COLUMN detail text,
    ADD COLUMN times integer NOT NULL DEFAULT 1,
    ADD COLUMN counted text COLLATE "C";
CREATE UNIQUE INDEX audit_counted ON audit (counted) WHERE counted IS NOT NULL;

-- An operator's link with which a person sets a new password: one for each account, the newest; only its digest is kept.
CREATE TABLE password_resets (
    user_id bigint CONSTRAINT password_resets_user PRIMARY KEY REFERENCES users,
    token_digest text COLLATE "C" NOT NULL CONSTRAINT password_resets_token UNIQUE,
    created_on bigint NOT NULL,
    expires_on bigint NOT NULL
);

-- From where a person signed in, for their own list of sessions; whether a session lives is known to Redis alone. The id is
-- the public one: neither the cookie nor its digest. The 50 newest of an account stay, at most as long as a session can live.
CREATE TABLE session_origins (
    session_id text COLLATE "C" CONSTRAINT session_origins_id PRIMARY KEY,
    user_id bigint NOT NULL CONSTRAINT session_origins_user REFERENCES users,
    begun_on bigint NOT NULL,
    peer text,
    user_agent text
);
CREATE INDEX session_origins_by_user ON session_origins (user_id, begun_on DESC);
CREATE INDEX session_origins_by_time ON session_origins (begun_on);
