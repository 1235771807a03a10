-- What ends or narrows a key of a client writes an event for that client's program into the outbox, in the same
-- transaction. Replicas of the previous release run beside this and call the same functions, so theirs are written too.

-- The public word for the reason why a key ended: the only place that maps one to the other. Null for keys that never
-- reached a program: nothing is reported of those. A reason that is not listed is reported as `policy`.
CREATE FUNCTION public_reason(why text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN why IN ('abandoned', 'superseded', 'undelivered') THEN NULL
        WHEN why = 'revoked by its owner' THEN 'person'
        WHEN why = 'revoked_by_client' THEN 'client'
        WHEN why = 'revoked_by_operator' THEN 'operator'
        WHEN why IN (
            'account_deleted', 'app_disconnected', 'client_deleted', 'code_replayed', 'evicted', 'leak_reported',
            'rotated', 'user_disabled', 'user_ended'
        ) THEN why
        ELSE 'policy'
    END
$$;

-- One key in an event.
CREATE TYPE changed_key AS (key_id text, user_id bigint, external_user text, client_id text);

-- The bodies of the events `keys.changed` for some keys that changed in the same way: at most 50 keys each, and below
-- 64 KiB, which is the most that the bus carries, also with the longest ids. None where there are no keys.
CREATE FUNCTION keys_changed(change text, reason text, happened bigint, keys changed_key[]) RETURNS SETOF bytea
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    WITH described AS (
        SELECT
            place,
            json_build_object(
                'key_id', key_id, 'user_id', user_id, 'external_user', external_user, 'client_id', client_id
            )::text AS described
        FROM unnest(keys) WITH ORDINALITY AS given (key_id, user_id, external_user, client_id, place)
    ), divided AS (
        SELECT
            place, described, (place - 1) / 50 AS fifty, sum(octet_length(described)) OVER (ORDER BY place) / 60000 AS part
        FROM described
    )
    SELECT convert_to(
        format(
            '{"change":%s,"reason":%s,"on":%s,"keys":[%s]}', to_json(change), to_json(reason), happened,
            string_agg(described, ',' ORDER BY place)
        ), 'UTF8'
    )
    FROM divided
    GROUP BY fifty, part
    ORDER BY min(place);
END $$;

-- Up to which expiry the key's program knows of it: null until the expiry is reported. Rows from before this step have
-- the time of the step, so that nobody hears today of what expired before: it is their default, and no row is written.
-- An expiry that a rotation has set is the end of an overlap.
DO $$
BEGIN
    EXECUTE format(
        'ALTER TABLE api_keys ADD COLUMN expiry_reported bigint DEFAULT %s, ADD COLUMN expires_by_rotation boolean',
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    );
END $$;
ALTER TABLE api_keys ALTER COLUMN expiry_reported DROP DEFAULT;

-- As before; a client's key that is dead from the start might have been handed out, so its program hears of it.
CREATE OR REPLACE FUNCTION insert_keys(wanted new_key[], pepper integer, made_on bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    WITH made AS (
        INSERT INTO api_keys (
            key_id, digest, code_digest, binding, attempt, user_id, username, external_issuer, external_user, client_id,
            identifier, permissions, origin, consented_on, expires_on, status, end_reason, ended_on, pepper_version,
            created_on
        )
        SELECT
            key_id, decode(digest, 'hex'), decode(code_digest, 'hex'), binding, coalesce(attempt, 1), user_id, username,
            external_issuer, external_user, client_id, identifier, string_to_array(permissions, ' '), origin,
            consented_on, expires_on, CASE WHEN end_reason IS NULL THEN 'active' ELSE 'revoked' END, end_reason,
            CASE WHEN end_reason IS NOT NULL THEN made_on END, pepper, made_on
        FROM unnest(wanted)
    )
    INSERT INTO audit (key_id, event, reason, happened_on)
    SELECT key_id, 'issued', origin, made_on FROM unnest(wanted)
    UNION ALL
    SELECT key_id, 'revoked', end_reason, made_on FROM unnest(wanted) WHERE end_reason IS NOT NULL;

    IF EXISTS (SELECT FROM unnest(wanted) WHERE end_reason IS NOT NULL) THEN
        INSERT INTO outbox (stream, type, body, created_on)
        SELECT 'events.keys', 'keys.changed', body, made_on
        FROM (
            SELECT
                public_reason(end_reason) AS reason,
                array_agg(ROW(key_id, user_id, external_user, client_id)::changed_key) AS keys
            FROM unnest(wanted)
            WHERE client_id IS NOT NULL AND end_reason IS NOT NULL
            GROUP BY 1
        ) AS dead, LATERAL keys_changed('revoked', reason, made_on, keys) AS body
        WHERE reason IS NOT NULL;
    END IF;
END $$;

-- As before, and the programs of clients hear of it, unless a key's expiry is reported already: that was its end.
CREATE OR REPLACE FUNCTION end_keys(key_ids text[], happened bigint, why text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    reported_as text := public_reason(why);
BEGIN
    RETURN QUERY
    WITH ended AS (
        UPDATE api_keys SET status = 'revoked', epoch = epoch + 1, ended_on = happened, end_reason = why
        WHERE key_id = ANY (key_ids) AND status <> 'revoked'
        RETURNING key_id, user_id, external_user, client_id, expires_on <= expiry_reported AS was_reported
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
        UNION ALL
        SELECT 'events.keys', 'keys.changed', body, happened
        FROM keys_changed('revoked', reported_as, happened, (
            SELECT array_agg(ROW(key_id, user_id, external_user, client_id)::changed_key)
            FROM ended
            WHERE reported_as IS NOT NULL AND client_id IS NOT NULL AND was_reported IS NOT TRUE
        )) AS body
    )
    SELECT key_id FROM ended;
END $$;
