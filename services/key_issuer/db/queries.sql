-- The named queries of schema `keys`. Whoever changes several keys at once locks them in the order of key_id, or skips
-- those that another transaction holds; issuing and revoking of one holding wait for each other at its row.

-- name: lock_holdings
-- Counts the coming keys into their holdings and keeps those rows, in one order, to the end of the transaction.
-- The shared lock lets the withdrawal of a whole person or client wait until this transaction's keys are visible.
WITH barrier AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(19531, 1))
INSERT INTO holdings AS held (user_id, client_id, issued)
SELECT given.user_id, given.client_id, given.keys
FROM barrier, unnest($1::bigint[], $2::text[], $3::integer[]) AS given (user_id, client_id, keys)
ORDER BY given.user_id, given.client_id
ON CONFLICT (user_id, client_id) DO UPDATE SET issued = held.issued + excluded.issued
RETURNING user_id, client_id, issued, void_before;

-- name: lock_holding_of_key
-- Counts one more key into the holding that a person's key belongs to and keeps that row.
INSERT INTO holdings AS held (user_id, client_id, issued)
SELECT user_id, coalesce(client_id, ''), 1 FROM api_keys WHERE key_id = $1 AND user_id = $2
ON CONFLICT (user_id, client_id) DO UPDATE SET issued = held.issued + 1
RETURNING held.user_id, held.client_id, held.issued, held.void_before;

-- name: void_holding
-- Withdraws one person's consents to one client, up to a time, and keeps the row to the end of the transaction.
INSERT INTO holdings AS held (user_id, client_id, void_before) VALUES ($1, $2, $3)
ON CONFLICT (user_id, client_id) DO UPDATE SET void_before = greatest(held.void_before, excluded.void_before);

-- name: await_running_issues
-- Waits for every transaction that is making keys right now; later ones see what this transaction commits.
SELECT pg_advisory_xact_lock(19531, 1);

-- name: void_people
-- Withdraws every consent of some people, up to a time.
INSERT INTO principal_voids AS void (kind, name, void_before)
SELECT 'u', user_id::text, $2 FROM unnest($1::bigint[]) AS given (user_id) ORDER BY user_id::text
ON CONFLICT (kind, name) DO UPDATE SET void_before = greatest(void.void_before, excluded.void_before);

-- name: void_client
-- Withdraws every consent to a client, up to a time.
INSERT INTO principal_voids AS void (kind, name, void_before) VALUES ('c', $1, $2)
ON CONFLICT (kind, name) DO UPDATE SET void_before = greatest(void.void_before, excluded.void_before);

-- name: read_issue_facts
-- What is known of keys about to be made: the row itself, another row of the same code, marks; only where something is.
SELECT
    given.place,
    same.key_id IS NOT NULL AS stored,
    coalesce(same.key_id, other.key_id) AS key_id,
    coalesce(same.user_id, other.user_id) AS user_id,
    coalesce(same.client_id, other.client_id) AS client_id,
    coalesce(same.status, other.status) AS status,
    coalesce(same.end_reason, other.end_reason) AS end_reason,
    coalesce(same.created_on, other.created_on) AS created_on,
    replayed.code_digest IS NOT NULL AS replayed,
    given_up.key_id IS NOT NULL AS abandoned,
    greatest(person.void_before, client.void_before, 0) AS void_before
FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::text[])
    WITH ORDINALITY AS given (key_id, code_digest, user_id, client_id, place)
LEFT JOIN api_keys AS same ON same.key_id = given.key_id
LEFT JOIN api_keys AS other ON other.code_digest = given.code_digest AND same.key_id IS NULL
LEFT JOIN replayed_codes AS replayed ON replayed.code_digest = given.code_digest
LEFT JOIN abandoned_keys AS given_up ON given_up.key_id = given.key_id
LEFT JOIN principal_voids AS person ON person.kind = 'u' AND person.name = given.user_id::text
LEFT JOIN principal_voids AS client ON client.kind = 'c' AND client.name = given.client_id
WHERE coalesce(same.key_id, other.key_id, given_up.key_id, person.name, client.name) IS NOT NULL
    OR replayed.code_digest IS NOT NULL;

-- name: issue_unknown_keys
-- Makes keys of which nothing is known, all in one statement: null where something is, else whom they pushed out.
SELECT issue_unknown_keys($1::json, $2, $3, $4);

-- name: insert_keys
-- Makes rows, live or already ended, each with its lines in the audit.
-- One JSON array of objects: fourteen SQL arrays cost the driver a fifth of an issue.
SELECT insert_keys(ARRAY(SELECT json_populate_recordset(NULL::new_key, $1::json)), $2, $3);

-- name: lock_surplus_keys
-- The live keys of holdings beyond their newest ones, locked.
SELECT lock_surplus_keys($1, $2, $3, $4);

-- name: count_own_keys
-- How many live or paused keys of their own, of no client, people have.
SELECT user_id, count(*) AS keys FROM api_keys
WHERE user_id = ANY ($1::bigint[]) AND client_id IS NULL AND status <> 'revoked'
    AND (expires_on IS NULL OR expires_on > $2)
GROUP BY user_id;

-- name: lock_live_keys
-- Of these keys those that have not ended, locked.
SELECT key_id FROM api_keys WHERE key_id = ANY ($1::text[]) AND status <> 'revoked' ORDER BY key_id FOR UPDATE;

-- name: lock_keys_of_holding
-- Some of the live keys that one person's consents up to a time gave to one client, locked.
SELECT key_id FROM api_keys
WHERE user_id = $1 AND client_id = $2 AND status <> 'revoked' AND consented_on <= $3
ORDER BY key_id
LIMIT $4
FOR UPDATE;

-- name: lock_keys_of_people
-- Some live keys of people's consents up to a time, locked; those that another transaction holds are left out.
SELECT key_id FROM api_keys
WHERE user_id = ANY ($1::bigint[]) AND status <> 'revoked' AND consented_on <= $2
LIMIT $3
FOR UPDATE SKIP LOCKED;

-- name: lock_keys_of_client
-- Some live keys of consents to a client up to a time, locked; those that another transaction holds are left out.
SELECT keys.key_id
FROM holdings AS held
JOIN api_keys AS keys ON keys.user_id = held.user_id AND keys.client_id = held.client_id
WHERE held.client_id = $1 AND keys.status <> 'revoked' AND keys.consented_on <= $2
LIMIT $3
FOR UPDATE OF keys SKIP LOCKED;

-- name: has_keys_of_people
-- Whether one of these people still has a live key of a consent up to a time.
SELECT EXISTS (
    SELECT FROM api_keys WHERE user_id = ANY ($1::bigint[]) AND status <> 'revoked' AND consented_on <= $2
);

-- name: has_keys_of_client
-- Whether a client still has a live key of a consent up to a time.
SELECT EXISTS (
    SELECT FROM holdings AS held
    JOIN api_keys AS keys ON keys.user_id = held.user_id AND keys.client_id = held.client_id
    WHERE held.client_id = $1 AND keys.status <> 'revoked' AND keys.consented_on <= $2
);

-- name: end_keys
-- Revokes keys that this transaction has locked; the ids of those that had not ended before.
SELECT end_keys($1, $2, $3);

-- name: release_codes
-- Takes the code from the rows of keys that were given up, so that the row of the code's next key can have it.
UPDATE api_keys SET code_digest = NULL WHERE key_id = ANY ($1::text[]);

-- name: find_unmade_keys
-- Of these keys those that have neither a row nor a mark.
SELECT given.key_id FROM unnest($1::text[]) AS given (key_id)
WHERE NOT EXISTS (SELECT FROM api_keys AS keys WHERE keys.key_id = given.key_id)
    AND NOT EXISTS (SELECT FROM abandoned_keys AS marked WHERE marked.key_id = given.key_id);

-- name: mark_abandoned_keys
-- Remembers keys that were given up, so that an issue of theirs that comes later is refused.
INSERT INTO abandoned_keys (key_id, marked_on)
SELECT DISTINCT given.key_id, $2::bigint FROM unnest($1::text[]) AS given (key_id) ORDER BY 1
ON CONFLICT (key_id) DO NOTHING;

-- name: lock_keys_of_codes
-- Of these keys, each with the code that it came out of, those that still hold it, locked: live ones, and those that had
-- to make room for newer ones. A key that ended for any other reason keeps its code from giving another.
SELECT keys.key_id
FROM unnest($1::text[], $2::bytea[]) AS given (key_id, code_digest)
JOIN api_keys AS keys ON keys.key_id = given.key_id AND keys.code_digest = given.code_digest
WHERE keys.status <> 'revoked' OR keys.end_reason = 'evicted'
ORDER BY keys.key_id
FOR UPDATE OF keys;

-- name: lock_key_of_code
-- The row that came out of a client's code, locked. Where it is given what the code is said to be bound to, all of that
-- must be as the row has it; a row that tells nothing of it is of a code without a challenge.
SELECT key_id, status FROM api_keys
WHERE code_digest = $1 AND client_id = $2
    AND ($3::jsonb IS NULL OR binding @> $3 OR (binding IS NULL AND $3 ->> 'challenge' = ''))
FOR UPDATE;

-- name: mark_replayed_code
-- Remembers that a code came back before its key did.
INSERT INTO replayed_codes (code_digest, marked_on) VALUES ($1, $2) ON CONFLICT (code_digest) DO NOTHING;

-- name: read_keys
-- Everything that checks need to know of some keys.
SELECT
    key_id, digest, pepper_version, user_id, username, external_issuer, external_user, client_id, permissions,
    used_permissions, status, created_on, expires_on, last_used_on
FROM api_keys WHERE key_id = ANY ($1::text[]);

-- name: lock_key
-- One key, of one person where one is given, locked for a change.
SELECT
    key_id, digest, pepper_version, user_id, username, external_issuer, external_user, client_id, identifier,
    permissions, used_permissions, status, created_on, consented_on, expires_on, last_used_on
FROM api_keys
WHERE key_id = $1 AND ($2::bigint IS NULL OR user_id = $2)
FOR UPDATE;

-- name: change_key
-- Writes a locked key's name, status, permissions and expiry; counts the epoch where a check is answered otherwise now.
-- An expiry that moves is a person's or a rotation's; one that is reported already stays so.
UPDATE api_keys SET
    identifier = $2, status = $3, permissions = string_to_array($4, ' '), expires_on = $5,
    epoch = epoch + $6::integer,
    expires_by_rotation = CASE WHEN expires_on IS DISTINCT FROM $5 THEN $7 ELSE expires_by_rotation END,
    expiry_reported = CASE WHEN expires_on <= expiry_reported THEN expiry_reported END
WHERE key_id = $1;

-- name: insert_audit
-- Lines of the audit for one key.
INSERT INTO audit (key_id, event, reason, happened_on)
SELECT $1::text, given.event, given.reason, $4::bigint FROM unnest($2::text[], $3::text[]) AS given (event, reason);

-- name: list_live_keys
-- A person's keys that have not been revoked, newest first.
SELECT
    key_id, identifier, permissions, client_id, created_on, last_used_on, expires_on, status, used_permissions, number
FROM api_keys
WHERE user_id = $1 AND status <> 'revoked' AND (expires_on IS NULL OR expires_on > $2)
ORDER BY number DESC
LIMIT $3;

-- name: list_ended_keys
-- A person's keys that were revoked since a time, last ended first, without those that never reached a program.
SELECT
    key_id, identifier, permissions, client_id, created_on, last_used_on, expires_on, status, used_permissions, number
FROM api_keys
WHERE user_id = $1 AND status = 'revoked' AND ended_on >= $2
    AND end_reason NOT IN ('abandoned', 'superseded', 'undelivered')
ORDER BY ended_on DESC
LIMIT $3;

-- name: list_expired_keys
-- A person's keys that expired since a time.
SELECT
    key_id, identifier, permissions, client_id, created_on, last_used_on, expires_on, status, used_permissions, number
FROM api_keys
WHERE user_id = $1 AND status <> 'revoked' AND expires_on <= $2 AND expires_on >= $3
ORDER BY number DESC
LIMIT $4;

-- name: find_place
-- Where a key of a person stands in the order of making.
SELECT number FROM api_keys WHERE user_id = $1 AND key_id = $2;

-- name: list_page
-- A person's keys below a place, newest first: live ones, and those that ended since a time, without those that never
-- reached a program.
SELECT
    key_id, identifier, permissions, client_id, created_on, last_used_on, expires_on, status, used_permissions, number
FROM api_keys
WHERE user_id = $1 AND status <> 'revoked' AND (expires_on IS NULL OR expires_on >= $2) AND number < $3
UNION ALL
SELECT
    key_id, identifier, permissions, client_id, created_on, last_used_on, expires_on, status, used_permissions, number
FROM api_keys
WHERE user_id = $1 AND status = 'revoked' AND ended_on >= $2 AND number < $3
    AND end_reason NOT IN ('abandoned', 'superseded', 'undelivered')
ORDER BY number DESC
LIMIT $4;

-- name: summarize_usage
-- Per client what it holds of a person: live keys, their permissions, the first, and the last use.
SELECT
    keys.client_id,
    count(*) AS keys,
    array(
        SELECT DISTINCT unnest(held.permissions) FROM api_keys AS held
        WHERE held.user_id = $1 AND held.client_id = keys.client_id AND held.status <> 'revoked'
            AND (held.expires_on IS NULL OR held.expires_on > $2)
        ORDER BY 1
    ) AS permissions,
    min(keys.created_on) AS first_issued_on,
    max(keys.last_used_on) AS last_used_on
FROM api_keys AS keys
WHERE keys.user_id = $1 AND keys.client_id IS NOT NULL AND keys.status <> 'revoked'
    AND (keys.expires_on IS NULL OR keys.expires_on > $2)
GROUP BY keys.client_id
ORDER BY min(keys.created_on) DESC;

-- name: note_uses
-- Writes when keys were last used and which permissions were asked for; rows that are being changed are left out.
UPDATE api_keys AS keys SET
    last_used_on = greatest(keys.last_used_on, due.used_on),
    used_permissions = CASE
        WHEN keys.used_permissions @> string_to_array(due.permissions, ' ') THEN keys.used_permissions
        ELSE ARRAY(SELECT DISTINCT unnest(keys.used_permissions || string_to_array(due.permissions, ' ')) ORDER BY 1)
    END
FROM (
    SELECT held.key_id, given.used_on, given.permissions
    FROM unnest($1::text[], $2::bigint[], $3::text[]) AS given (key_id, used_on, permissions)
    JOIN api_keys AS held ON held.key_id = given.key_id
    ORDER BY held.key_id
    FOR NO KEY UPDATE OF held SKIP LOCKED
) AS due
WHERE keys.key_id = due.key_id
RETURNING keys.key_id;

-- name: reseal_keys
-- Keeps digests under the newest pepper, unless somebody did so already; rows that are being changed are left out.
UPDATE api_keys AS keys SET digest = due.digest, pepper_version = $4
FROM (
    SELECT held.key_id, given.digest
    FROM unnest($1::text[], $2::bytea[], $3::integer[]) AS given (key_id, digest, pepper_version)
    JOIN api_keys AS held ON held.key_id = given.key_id AND held.pepper_version = given.pepper_version
    ORDER BY held.key_id
    FOR NO KEY UPDATE OF held SKIP LOCKED
) AS due
WHERE keys.key_id = due.key_id;

-- name: insert_service_key
-- Makes a resource server's key, with its line in the audit.
WITH told AS (
    INSERT INTO audit (key_id, event, reason, happened_on) VALUES ($1, 'issued', 'service', $6)
)
INSERT INTO service_keys (key_id, name, digest, pepper_version, permissions, created_on)
VALUES ($1, $2, $3, $4, $5::text[], $6);

-- name: read_service_keys
-- Everything that checks need to know of some service keys.
SELECT key_id, name, digest, pepper_version, permissions, created_on, last_used_on, ended_on, end_reason
FROM service_keys WHERE key_id = ANY ($1::text[]);

-- name: end_service_key
-- Revokes a service key that has not ended, with its line in the audit.
WITH ended AS (
    UPDATE service_keys SET ended_on = $2, end_reason = $3 WHERE key_id = $1 AND ended_on IS NULL RETURNING key_id
), told AS (
    INSERT INTO audit (key_id, event, reason, happened_on) SELECT key_id, 'revoked', $3, $2 FROM ended
)
SELECT key_id FROM ended;

-- name: note_service_uses
-- Writes when service keys were last used.
UPDATE service_keys AS keys SET last_used_on = greatest(keys.last_used_on, due.used_on)
FROM (
    SELECT held.key_id, given.used_on
    FROM unnest($1::text[], $2::bigint[]) AS given (key_id, used_on)
    JOIN service_keys AS held ON held.key_id = given.key_id
    ORDER BY held.key_id
    FOR NO KEY UPDATE OF held SKIP LOCKED
) AS due
WHERE keys.key_id = due.key_id
RETURNING keys.key_id;

-- name: reseal_service_keys
-- Keeps service keys' digests under the newest pepper, unless somebody did so already.
UPDATE service_keys AS keys SET digest = due.digest, pepper_version = $4
FROM (
    SELECT held.key_id, given.digest
    FROM unnest($1::text[], $2::bytea[], $3::integer[]) AS given (key_id, digest, pepper_version)
    JOIN service_keys AS held ON held.key_id = given.key_id AND held.pepper_version = given.pepper_version
    ORDER BY held.key_id
    FOR NO KEY UPDATE OF held SKIP LOCKED
) AS due
WHERE keys.key_id = due.key_id;

-- name: list_service_keys
-- All service keys for the operator, newest first.
SELECT key_id, name, permissions, created_on, last_used_on, ended_on, end_reason
FROM service_keys ORDER BY created_on DESC LIMIT $1;

-- name: search_keys
-- Keys for the operator, newest first, of a person or a client where given, ended ones where wanted.
SELECT
    keys.key_id, keys.user_id, keys.username, keys.external_issuer, keys.external_user, keys.client_id,
    keys.identifier, keys.permissions, keys.origin, keys.status, keys.created_on, keys.expires_on, keys.last_used_on, keys.ended_on, keys.end_reason
FROM api_keys AS keys
WHERE ($1::text IS NULL OR lower(keys.username) = lower($1)) AND ($2::text IS NULL OR keys.client_id = $2)
    AND ($3::boolean OR keys.status <> 'revoked')
ORDER BY keys.number DESC
LIMIT $4;

-- name: find_holder
-- Whose the keys of a name or of a client or of both are, and when the last consent to them was given, ended ones included.
SELECT min(user_id) AS user_id, max(consented_on) AS consented_on
FROM api_keys
WHERE ($1::text IS NULL OR lower(username) = lower($1)) AND ($2::text IS NULL OR client_id = $2);

-- name: describe_key
-- One key for the operator.
SELECT
    key_id, user_id, username, external_issuer, external_user, client_id, identifier, permissions, used_permissions,
    origin, status, epoch, pepper_version, consented_on, created_on, expires_on, last_used_on, ended_on, end_reason
FROM api_keys WHERE key_id = $1;

-- name: list_audit
-- What happened to one key, in order.
SELECT event, reason, happened_on FROM audit WHERE key_id = $1 AND event IN ('issued', 'revoked')
UNION ALL
SELECT event, reason, happened_on FROM audit WHERE key_id = $1 AND event NOT IN ('issued', 'revoked')
ORDER BY happened_on, event;

-- name: append_event
-- Puts an event into the outbox, in the transaction of the change that it tells of.
INSERT INTO outbox (stream, type, body, created_on) VALUES ($1, $2, $3, $4);

-- name: report_expired_keys
-- Writes events for some keys of clients that have expired, of each the first time only; how many keys. Those that another
-- process reports or changes at this moment are left out.
WITH due AS MATERIALIZED (
    SELECT key_id FROM api_keys
    WHERE client_id IS NOT NULL AND status <> 'revoked' AND expires_on > coalesce(expiry_reported, 0)
        AND expires_on <= $1
    ORDER BY expires_on
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), expired AS (
    UPDATE api_keys AS keys SET expiry_reported = keys.expires_on
    FROM due
    WHERE keys.key_id = due.key_id
    RETURNING
        CASE WHEN keys.expires_by_rotation THEN 'rotated' ELSE 'expired' END AS reason,
        ROW(keys.key_id, keys.user_id, keys.external_user, keys.client_id)::changed_key AS key
), written AS (
    INSERT INTO outbox (stream, type, body, created_on)
    SELECT 'events.keys', 'keys.changed', body, $1
    FROM (SELECT reason, array_agg(key) AS keys FROM expired GROUP BY reason) AS alike,
        LATERAL keys_changed('expired', reason, $1, keys) AS body
)
SELECT count(*) FROM expired;

-- name: purge_audit
-- Deletes some of the lines that are older than so many days by the server's clock; those that another purge holds are
-- left to it.
WITH old AS MATERIALIZED (
    SELECT ctid FROM audit
    WHERE happened_on < (extract(epoch FROM now()) * 1000)::bigint - $1::bigint * 86400000
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
DELETE FROM audit WHERE ctid = ANY (ARRAY(SELECT ctid FROM old));

-- name: purge_ended_keys
-- Deletes some rows of keys that ended, revoked or expired, more than so many days ago by the server's clock; those that
-- another transaction holds, or whose expiry is still to be reported, are left out.
WITH old AS MATERIALIZED (
    SELECT ctid FROM api_keys
    WHERE coalesce(ended_on, expires_on) < (extract(epoch FROM now()) * 1000)::bigint - $1::bigint * 86400000
        AND (client_id IS NULL OR status = 'revoked' OR expires_on <= expiry_reported)
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
DELETE FROM api_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM old));

-- name: purge_replayed_codes
-- Deletes some marks that are older than so many days, when no command with such a code can still be on its way.
DELETE FROM replayed_codes WHERE code_digest IN (
    SELECT code_digest FROM replayed_codes
    WHERE marked_on < (extract(epoch FROM now()) * 1000)::bigint - $1::bigint * 86400000
    LIMIT $2
    FOR UPDATE SKIP LOCKED
);

-- name: purge_abandoned_keys
-- Deletes some marks that are older than so many days, when no issue of such a key can still be on its way.
DELETE FROM abandoned_keys WHERE key_id IN (
    SELECT key_id FROM abandoned_keys
    WHERE marked_on < (extract(epoch FROM now()) * 1000)::bigint - $1::bigint * 86400000
    LIMIT $2
    FOR UPDATE SKIP LOCKED
);
