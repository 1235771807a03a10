-- A key lives from its commit on, and giving one up is what is said. Replicas of the previous release go on running beside
-- this: they call these functions too, and write and ask `undelivered_keys` themselves.

-- What a one-time code was bound to, as names and digests that only auth_api can read; null in rows of earlier releases.
ALTER TABLE api_keys ADD COLUMN binding jsonb;
ALTER TYPE new_key ADD ATTRIBUTE binding jsonb;

-- Keys that were given up before they were made: their issue is refused. Kept for a day.
CREATE TABLE abandoned_keys (
    key_id text COLLATE "C" PRIMARY KEY,
    marked_on bigint NOT NULL
);
CREATE INDEX abandoned_keys_marked_on ON abandoned_keys (marked_on);

-- No key waits for its delivery any more, also none of the previous release, whose sweeper would end it. The table stays
-- for the statements of that release; rows that a transaction of it holds just now are its own to delete.
CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER undelivered_keys_stay_empty BEFORE INSERT ON undelivered_keys FOR EACH ROW EXECUTE FUNCTION drop_row();
DELETE FROM undelivered_keys WHERE key_id IN (SELECT key_id FROM undelivered_keys FOR UPDATE SKIP LOCKED);

-- Makes rows, live or already ended, each with its lines in the audit.
CREATE OR REPLACE FUNCTION insert_keys(wanted new_key[], pepper integer, made_on bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    WITH made AS (
        INSERT INTO api_keys (
            key_id, digest, code_digest, binding, attempt, user_id, username, client_id, identifier, permissions, origin,
            consented_on, expires_on, status, end_reason, ended_on, pepper_version, created_on
        )
        SELECT
            key_id, decode(digest, 'hex'), decode(code_digest, 'hex'), binding, coalesce(attempt, 1), user_id, username,
            client_id, identifier, string_to_array(permissions, ' '), origin, consented_on, expires_on,
            CASE WHEN end_reason IS NULL THEN 'active' ELSE 'revoked' END, end_reason,
            CASE WHEN end_reason IS NOT NULL THEN made_on END, pepper, made_on
        FROM unnest(wanted)
    )
    INSERT INTO audit (key_id, event, reason, happened_on)
    SELECT key_id, 'issued', origin, made_on FROM unnest(wanted)
    UNION ALL
    SELECT key_id, 'revoked', end_reason, made_on FROM unnest(wanted) WHERE end_reason IS NOT NULL;
END $$;

-- Revokes keys that this transaction has locked: once each, with their line in the audit, and one broadcast to forget
-- them all. The ids of those that had not ended before.
CREATE OR REPLACE FUNCTION end_keys(key_ids text[], happened bigint, why text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    WITH ended AS (
        UPDATE api_keys SET status = 'revoked', epoch = epoch + 1, ended_on = happened, end_reason = why
        WHERE key_id = ANY (key_ids) AND status <> 'revoked'
        RETURNING key_id
    ), noted AS (
        INSERT INTO audit (key_id, event, reason, happened_on)
        SELECT key_id, 'revoked', why, happened FROM ended
    ), published AS (
        INSERT INTO outbox (stream, type, body, created_on)
        SELECT
            'revocations', 'keys.narrowed',
            convert_to(json_build_object('key_ids', json_agg(key_id), 'on', happened)::text, 'UTF8'), happened
        FROM ended
        HAVING count(*) > 0
    )
    SELECT key_id FROM ended;
END $$;

-- As before; a key that was given up is one of which something is known.
CREATE OR REPLACE FUNCTION issue_unknown_keys(given json, pepper integer, made_on bigint, most_live integer)
RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    wanted new_key[] := ARRAY(SELECT json_populate_recordset(NULL::new_key, given));
    ids text[];
    codes bytea[];
    people text[];
    clients text[];
    first_consent bigint;
    last_withdrawal bigint;
    full_users bigint[];
    full_clients text[];
    surplus text[];
BEGIN
    SELECT
        array_agg(key_id), array_agg(decode(code_digest, 'hex')) FILTER (WHERE code_digest IS NOT NULL),
        array_agg(DISTINCT user_id::text), array_agg(DISTINCT client_id) FILTER (WHERE client_id IS NOT NULL),
        min(consented_on)
    INTO ids, codes, people, clients, first_consent
    FROM unnest(wanted);

    -- Shared: a transaction that withdraws a whole person or client, or gives a key up, waits until these keys are visible.
    PERFORM pg_advisory_xact_lock_shared(19531, 1);

    WITH counted AS (
        INSERT INTO holdings AS held (user_id, client_id, issued)
        SELECT user_id, coalesce(client_id, ''), count(*) FROM unnest(wanted) GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (user_id, client_id) DO UPDATE SET issued = held.issued + excluded.issued
        RETURNING user_id, client_id, issued, void_before
    )
    SELECT
        max(void_before),
        array_agg(user_id) FILTER (WHERE issued > most_live AND client_id <> ''),
        array_agg(client_id) FILTER (WHERE issued > most_live AND client_id <> '')
    INTO last_withdrawal, full_users, full_clients
    FROM counted;

    IF last_withdrawal >= first_consent
        OR EXISTS (SELECT FROM api_keys WHERE key_id = ANY (ids))
        OR EXISTS (SELECT FROM api_keys WHERE code_digest = ANY (codes))
        OR EXISTS (SELECT FROM abandoned_keys WHERE key_id = ANY (ids))
        OR EXISTS (SELECT FROM replayed_codes WHERE code_digest = ANY (codes))
        OR EXISTS (
            SELECT FROM principal_voids WHERE kind = 'u' AND name = ANY (people) AND void_before >= first_consent
        )
        OR EXISTS (
            SELECT FROM principal_voids WHERE kind = 'c' AND name = ANY (clients) AND void_before >= first_consent
        )
    THEN
        RETURN NULL;
    END IF;

    PERFORM insert_keys(wanted, pepper, made_on);
    IF full_users IS NULL THEN
        RETURN '{}';
    END IF;
    surplus := ARRAY(SELECT lock_surplus_keys(full_users, full_clients, made_on, most_live));
    RETURN ARRAY(SELECT end_keys(surplus, made_on, 'evicted'));
END $$;

-- Events that no service reads are no longer written; what waits of them would only lengthen a stream.
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox WHERE stream = 'events.keys' AND published_on IS NULL FOR UPDATE SKIP LOCKED
);
