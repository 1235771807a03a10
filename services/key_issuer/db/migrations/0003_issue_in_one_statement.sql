-- Usual keys are made in one round trip: a process that is paused or dies between two statements holds no lock, and
-- the next batch waits for one answer instead of five. Replicas of two releases share these functions: a later
-- migration may replace them by what the older release can call too.

-- A row to be made, as one of the JSON objects that the issuer sends.
CREATE TYPE new_key AS (
    key_id text,
    digest text,
    code_digest text,
    attempt integer,
    user_id bigint,
    username text,
    client_id text,
    identifier text,
    permissions text,
    origin text,
    consented_on bigint,
    expires_on bigint,
    end_reason text,
    event text
);

-- Makes rows, live or already ended, each waiting for its delivery, with its lines in the audit and its events.
CREATE FUNCTION insert_keys(wanted new_key[], pepper integer, made_on bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH made AS (
        INSERT INTO api_keys (
            key_id, digest, code_digest, attempt, user_id, username, client_id, identifier, permissions, origin,
            consented_on, expires_on, status, end_reason, ended_on, undelivered, pepper_version, created_on
        )
        SELECT
            key_id, decode(digest, 'hex'), decode(code_digest, 'hex'), attempt, user_id, username, client_id,
            identifier, string_to_array(permissions, ' '), origin, consented_on, expires_on,
            CASE WHEN end_reason IS NULL THEN 'active' ELSE 'revoked' END, end_reason,
            CASE WHEN end_reason IS NOT NULL THEN made_on END, end_reason IS NOT NULL, pepper, made_on
        FROM unnest(wanted)
    ), waiting AS (
        INSERT INTO undelivered_keys (key_id, created_on)
        SELECT key_id, (extract(epoch FROM now()) * 1000)::bigint FROM unnest(wanted) WHERE end_reason IS NULL
    ), told AS (
        INSERT INTO outbox (stream, type, body, created_on)
        SELECT 'events.keys', 'key.issued', convert_to(event, 'UTF8'), made_on FROM unnest(wanted)
        UNION ALL
        SELECT
            'events.keys', 'key.revoked', convert_to(json_build_object(
                'key_id', key_id, 'user_id', user_id, 'client_id', client_id, 'reason', end_reason, 'on', made_on
            )::text, 'UTF8'), made_on
        FROM unnest(wanted) WHERE end_reason IS NOT NULL
    )
    INSERT INTO audit (key_id, event, reason, happened_on)
    SELECT key_id, 'issued', origin, made_on FROM unnest(wanted)
    UNION ALL
    SELECT key_id, 'revoked', end_reason, made_on FROM unnest(wanted) WHERE end_reason IS NOT NULL;
END $$;

-- The live keys of holdings beyond their newest ones, locked.
CREATE FUNCTION lock_surplus_keys(users bigint[], clients text[], seen_on bigint, most integer) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    SELECT keys.key_id FROM api_keys AS keys
    WHERE keys.key_id = ANY (ARRAY(
        SELECT surplus.key_id
        FROM unnest(users, clients) AS given (user_id, client_id)
        CROSS JOIN LATERAL (
            SELECT held.key_id FROM api_keys AS held
            WHERE held.user_id = given.user_id AND held.client_id = given.client_id AND held.status <> 'revoked'
                AND (held.expires_on IS NULL OR held.expires_on > seen_on)
            ORDER BY held.number DESC
            OFFSET most
        ) AS surplus
    )) AND keys.status <> 'revoked'
    ORDER BY keys.key_id
    FOR UPDATE;
END $$;

-- Revokes keys that this transaction has locked: once each, with their line in the audit and their event, and one
-- broadcast to forget them all. The ids of those that had not ended before.
CREATE FUNCTION end_keys(key_ids text[], happened bigint, why text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    WITH ended AS (
        UPDATE api_keys AS keys SET
            status = 'revoked', epoch = epoch + 1, ended_on = happened, end_reason = why,
            undelivered = EXISTS (SELECT FROM undelivered_keys AS waiting WHERE waiting.key_id = keys.key_id)
        WHERE key_id = ANY (key_ids) AND status <> 'revoked'
        RETURNING key_id, user_id, client_id
    ), arrived AS (
        DELETE FROM undelivered_keys WHERE key_id IN (SELECT key_id FROM ended)
    ), told AS (
        INSERT INTO audit (key_id, event, reason, happened_on)
        SELECT key_id, 'revoked', why, happened FROM ended
    ), published AS (
        INSERT INTO outbox (stream, type, body, created_on)
        SELECT
            'events.keys', 'key.revoked', convert_to(json_build_object(
                'key_id', key_id, 'user_id', user_id, 'client_id', client_id, 'reason', why, 'on', happened
            )::text, 'UTF8'), happened
        FROM ended
        UNION ALL
        SELECT
            'revocations', 'keys.narrowed',
            convert_to(json_build_object('key_ids', json_agg(key_id), 'on', happened)::text, 'UTF8'), happened
        FROM ended
        HAVING count(*) > 0
    )
    SELECT key_id FROM ended;
END $$;

-- Makes keys of which nothing is known: neither their row, nor another one of the same code, nor that the code came
-- back or the consent was withdrawn. Null, and nothing made, where something is: then the issuer looks and judges.
-- Otherwise the ids of older keys that had to make room. Locks and reads as the issuer does: each statement sees what
-- was committed before it began.
CREATE FUNCTION issue_unknown_keys(given json, pepper integer, made_on bigint, most_live integer) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    wanted new_key[] := ARRAY(SELECT json_populate_recordset(NULL::new_key, given));
    full_users bigint[];
    full_clients text[];
    surplus text[];
BEGIN
    -- Shared: the withdrawal of a whole person or client waits until these keys are visible.
    PERFORM pg_advisory_xact_lock_shared(19531, 1);

    WITH counted AS (
        INSERT INTO holdings AS held (user_id, client_id, issued)
        SELECT user_id, coalesce(client_id, ''), count(*) FROM unnest(wanted) GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (user_id, client_id) DO UPDATE SET issued = held.issued + excluded.issued
        RETURNING user_id, client_id, issued
    )
    SELECT array_agg(user_id), array_agg(client_id) INTO full_users, full_clients
    FROM counted WHERE issued > most_live AND client_id <> '';

    IF EXISTS (
        SELECT FROM unnest(wanted) AS fresh
        JOIN holdings AS held ON held.user_id = fresh.user_id AND held.client_id = coalesce(fresh.client_id, '')
        LEFT JOIN api_keys AS same ON same.key_id = fresh.key_id
        LEFT JOIN api_keys AS other ON other.code_digest = decode(fresh.code_digest, 'hex')
        LEFT JOIN replayed_codes AS replayed ON replayed.code_digest = decode(fresh.code_digest, 'hex')
        LEFT JOIN principal_voids AS person ON person.kind = 'u' AND person.name = fresh.user_id::text
        LEFT JOIN principal_voids AS client ON client.kind = 'c' AND client.name = fresh.client_id
        WHERE coalesce(same.key_id, other.key_id) IS NOT NULL OR replayed.code_digest IS NOT NULL
            OR fresh.consented_on <= greatest(held.void_before, person.void_before, client.void_before)
    ) THEN
        RETURN NULL;
    END IF;

    PERFORM insert_keys(wanted, pepper, made_on);
    IF full_users IS NULL THEN
        RETURN '{}';
    END IF;
    surplus := ARRAY(SELECT lock_surplus_keys(full_users, full_clients, made_on, most_live));
    RETURN ARRAY(SELECT end_keys(surplus, made_on, 'evicted'));
END $$;
