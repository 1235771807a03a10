-- The named queries of auth_api, schema auth.

-- name: insert_user
-- A new account; users_username_taken refuses a name that another has, ignoring case.
INSERT INTO users (username, password_hash, created_on)
VALUES ($1, $2, $3)
RETURNING user_id, username;

-- name: find_user_by_name
-- The account behind a username, for signing in; ignoring case.
SELECT user_id, username, password_hash, session_epoch, disabled_on
FROM users
WHERE lower(username) = lower($1);

-- name: find_password_hash
-- What the current password of an account is compared with.
SELECT password_hash FROM users WHERE user_id = $1 AND disabled_on IS NULL;

-- name: find_user
-- An account by its id, to check a session or a consent against, with the identity that was linked first.
SELECT
    u.user_id, u.username, u.session_epoch, u.disabled_on, u.display_name,
    first.issuer AS external_issuer, first.subject AS external_user
FROM users AS u
LEFT JOIN LATERAL (
    SELECT issuer, subject FROM external_identities AS e WHERE e.user_id = u.user_id ORDER BY number LIMIT 1
) AS first ON true
WHERE u.user_id = $1;

-- name: insert_external_user
-- An account without a password; users_username_taken refuses a name that another has, ignoring case.
INSERT INTO users (username, display_name, email, created_on) VALUES ($1, $2, $3, $4) RETURNING user_id;

-- name: insert_identity
-- Who an account's person is elsewhere; external_identities_known refuses one that has an account already.
INSERT INTO external_identities (issuer, subject, user_id, linked_on) VALUES ($1, $2, $3, $4);

-- name: find_user_by_identity
-- The account of an identity.
SELECT u.user_id, u.username, u.session_epoch, u.disabled_on, u.display_name, u.email
FROM external_identities AS e JOIN users AS u ON u.user_id = e.user_id
WHERE e.issuer = $1 AND e.subject = $2;

-- name: find_external_people
-- The accounts behind ids that a site (or only one issuer, where one is given) gives people, each with such an id.
SELECT subject, user_id FROM external_identities
WHERE subject = ANY ($1::text[]) AND ($2::text IS NULL OR issuer = $2);

-- name: lock_users
-- Holds the rows of some accounts, always in one order.
SELECT user_id FROM users WHERE user_id = ANY ($1::bigint[]) ORDER BY user_id FOR NO KEY UPDATE;

-- name: disable_users
-- Disabled: no sign-in, every session is dead, and no consent stands. When any of them consented last.
WITH ended AS (
    UPDATE users SET disabled_on = coalesce(disabled_on, $2), session_epoch = session_epoch + 1
    WHERE user_id = ANY ($1::bigint[])
    RETURNING user_id
), noted AS (
    INSERT INTO audit (happened_on, actor, action, subject, peer)
    SELECT $2, $3, 'user.disabled', 'user:' || user_id, $4 FROM ended
), withdrawn AS (
    DELETE FROM grants WHERE user_id = ANY ($1::bigint[]) RETURNING granted_on
)
SELECT max(granted_on) FROM withdrawn;

-- name: list_identities
-- Who an account's person is elsewhere, linked first first.
SELECT issuer, subject, linked_on FROM external_identities WHERE user_id = $1 ORDER BY number;

-- name: end_sessions_of_identity
-- Every session of an identity's account that was made before is dead, as the provider said at a time.
WITH ended AS (
    UPDATE users SET session_epoch = session_epoch + 1
    WHERE user_id = (SELECT user_id FROM external_identities WHERE issuer = $1 AND subject = $2)
    RETURNING user_id
)
INSERT INTO audit (happened_on, actor, action, subject)
SELECT $3, 'provider', 'sessions.ended', 'user:' || user_id FROM ended;

-- name: introduce_user
-- What whoever signed a person in says of them now.
UPDATE users SET display_name = coalesce($2, display_name), email = coalesce($3, email) WHERE user_id = $1;

-- name: describe_user
-- One account for the operator; ignoring case.
SELECT user_id, username, display_name, email, password_hash IS NOT NULL AS has_password, created_on, disabled_on
FROM users WHERE lower(username) = lower($1);

-- name: list_users
-- All accounts, oldest first, for the operator.
SELECT u.user_id, u.username, u.created_on, u.disabled_on,
       (SELECT count(*) FROM clients AS c WHERE c.author_id = u.user_id) AS clients
FROM users AS u
ORDER BY u.user_id;

-- name: upgrade_password_hash
-- The same password under today's cost; only if it was not changed meanwhile.
UPDATE users SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2;

-- name: set_password
-- A new password; every session made before is dead, and no link of an operator's leads to another one.
WITH changed AS (
    UPDATE users
    SET password_hash = $2, session_epoch = session_epoch + 1
    WHERE lower(username) = lower($1)
    RETURNING user_id, username, session_epoch, disabled_on
), used AS (
    DELETE FROM password_resets WHERE user_id IN (SELECT user_id FROM changed)
)
SELECT user_id, username, session_epoch, disabled_on FROM changed;

-- name: replace_password
-- A new password in place of the one that was compared, unless that was changed meanwhile; else as set_password.
WITH changed AS (
    UPDATE users
    SET password_hash = $3, session_epoch = session_epoch + 1
    WHERE user_id = $1 AND password_hash = $2 AND disabled_on IS NULL
    RETURNING user_id, username, session_epoch, disabled_on
), used AS (
    DELETE FROM password_resets WHERE user_id IN (SELECT user_id FROM changed)
)
SELECT user_id, username, session_epoch, disabled_on FROM changed;

-- name: end_sessions
-- Every session of an account made before is dead, where those of the epoch $2 lived; the number that new ones carry.
UPDATE users SET session_epoch = session_epoch + 1
WHERE user_id = $1 AND session_epoch = $2 AND disabled_on IS NULL
RETURNING session_epoch;

-- name: keep_session_origin
-- From where a session was begun; of an account's older ones those beyond the newest $6 go.
WITH gone AS (
    DELETE FROM session_origins WHERE session_id IN (
        SELECT session_id FROM session_origins WHERE user_id = $2 ORDER BY begun_on DESC OFFSET $6 - 1
    )
)
INSERT INTO session_origins (session_id, user_id, begun_on, peer, user_agent) VALUES ($1, $2, $3, $4, $5);

-- name: list_session_origins
-- From where the sessions of an account were begun.
SELECT session_id, peer, user_agent FROM session_origins WHERE user_id = $1;

-- name: purge_session_origins
-- Deletes some of those that are older than so many days by the server's clock: no session lives so long.
DELETE FROM session_origins WHERE session_id = ANY (ARRAY(
    SELECT session_id FROM session_origins
    WHERE begun_on < (extract(epoch FROM now()) * 1000)::bigint - $1::bigint * 86400000
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: keep_password_reset
-- An operator's link to set a new password, in place of an older one of the account; its digest alone.
INSERT INTO password_resets (user_id, token_digest, created_on, expires_on)
SELECT user_id, $2, $3, $4 FROM users WHERE lower(username) = lower($1)
ON CONFLICT (user_id) DO UPDATE
SET token_digest = excluded.token_digest, created_on = excluded.created_on, expires_on = excluded.expires_on
RETURNING user_id;

-- name: find_password_reset
-- Whose password a link sets, where it is neither used nor past its time.
SELECT u.user_id, u.username
FROM password_resets AS r JOIN users AS u USING (user_id)
WHERE r.token_digest = $1 AND r.expires_on > $2 AND u.disabled_on IS NULL;

-- name: use_password_reset
-- Uses up a link: whoever deletes its row may set the password of the account.
DELETE FROM password_resets AS r USING users AS u
WHERE u.user_id = r.user_id AND r.token_digest = $1 AND r.expires_on > $2 AND u.disabled_on IS NULL
RETURNING r.user_id;

-- name: disable_user
-- Disabled: cannot sign in, and every session is dead. An account disabled before keeps its time.
UPDATE users
SET disabled_on = coalesce(disabled_on, $2), session_epoch = session_epoch + 1
WHERE lower(username) = lower($1)
RETURNING user_id, username;

-- name: enable_user
-- May sign in again; what died when the account was disabled stays dead.
UPDATE users SET disabled_on = NULL WHERE lower(username) = lower($1) RETURNING user_id, username;

-- name: lock_user
-- Holds an account's row while its clients are counted.
SELECT user_id FROM users WHERE user_id = $1 AND disabled_on IS NULL FOR NO KEY UPDATE;

-- name: count_clients
-- How many clients an account has registered.
SELECT count(*) FROM clients WHERE author_id = $1;

-- name: insert_client
-- A new client, given as JSON; clients_id_taken refuses an id that exists.
INSERT INTO clients (
    client_id, name, author_id, redirect_uris, requested_permissions, api_key_format, api_key_filename,
    webhook_uri, homepage, description, public, secret_digest, by_operator, self_registered, created_on)
SELECT
    client_id, name, author_id, redirect_uris, requested_permissions, api_key_format, api_key_filename,
    webhook_uri, homepage, description, public, secret_digest, by_operator, self_registered, created_on
FROM jsonb_populate_record(NULL::clients, $1);

-- name: find_client
-- One client with the digests of its secrets, its author's name, and how its webhook address fares.
SELECT c.*, u.username AS author_name, w.failing_since AS webhook_failing_since,
       w.disabled_on AS webhook_disabled_on, w.disabled_why AS webhook_disabled_why
FROM clients AS c
LEFT JOIN users AS u ON u.user_id = c.author_id
LEFT JOIN webhook_endpoints AS w ON w.client_id = c.client_id AND c.webhook_uri IS NOT NULL
WHERE c.client_id = $1;

-- name: lock_own_client
-- One client of an author (or of anybody, for the operator: author null), held while it changes.
SELECT c.*, u.username AS author_name
FROM clients AS c LEFT JOIN users AS u ON u.user_id = c.author_id
WHERE c.client_id = $1 AND ($2::bigint IS NULL OR c.author_id = $2)
FOR UPDATE OF c;

-- name: list_clients_of
-- The clients of one author, newest first, and how their webhook addresses fare.
SELECT c.*, u.username AS author_name, w.failing_since AS webhook_failing_since,
       w.disabled_on AS webhook_disabled_on, w.disabled_why AS webhook_disabled_why
FROM clients AS c
JOIN users AS u ON u.user_id = c.author_id
LEFT JOIN webhook_endpoints AS w ON w.client_id = c.client_id AND c.webhook_uri IS NOT NULL
WHERE c.author_id = $1
ORDER BY c.created_on DESC, c.client_id;

-- name: list_disabled_webhooks
-- The clients of one author whose webhook address is disabled, the latest first, up to a limit.
SELECT c.client_id, c.name
FROM clients AS c JOIN webhook_endpoints AS w ON w.client_id = c.client_id
WHERE c.author_id = $1 AND c.webhook_uri IS NOT NULL AND w.disabled_on IS NOT NULL
ORDER BY w.disabled_on DESC, c.client_id LIMIT $2;

-- name: list_clients
-- Every client, newest first, for the operator.
SELECT c.*, u.username AS author_name
FROM clients AS c LEFT JOIN users AS u ON u.user_id = c.author_id
ORDER BY c.created_on DESC, c.client_id;

-- name: find_clients
-- The clients with these ids, with the digests of their secrets and their authors' names.
SELECT c.*, u.username AS author_name
FROM clients AS c LEFT JOIN users AS u ON u.user_id = c.author_id
WHERE c.client_id = ANY ($1);

-- name: update_client
-- Everything of a client that may change, given as JSON.
UPDATE clients AS c
SET name = new.name, redirect_uris = new.redirect_uris, api_key_format = new.api_key_format,
    api_key_filename = new.api_key_filename, webhook_uri = new.webhook_uri, homepage = new.homepage,
    description = new.description
FROM jsonb_populate_record(NULL::clients, $2) AS new
WHERE c.client_id = $1;

-- name: reset_client_secret
-- A new secret; the one before counts until $3, or not at all where $3 is null.
UPDATE clients
SET old_secret_digest = CASE WHEN $3::bigint IS NULL THEN NULL ELSE secret_digest END,
    old_secret_until = $3,
    secret_digest = $2
WHERE client_id = $1;

-- name: find_webhook_versions
-- Which versions of a client's webhook keys sign, where they were ever rotated; also of a client that was deleted.
SELECT version, created_on, previous_ends_on, request_digest FROM webhook_versions WHERE client_id = $1;

-- name: keep_webhook_versions
-- Which versions of a client's webhook keys sign from now on.
INSERT INTO webhook_versions (client_id, version, created_on, previous_ends_on, request_digest)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (client_id) DO UPDATE
SET version = $2, created_on = $3, previous_ends_on = $4, request_digest = $5;

-- name: set_webhook_address
-- A client has an address, of that host; from $2 on where it had none ($4) or that was disabled. What was wrong is forgotten.
INSERT INTO webhook_endpoints (client_id, set_on, changed_on, host)
VALUES ($1, CASE WHEN $4::boolean THEN $2::bigint ELSE 0 END, $2, $3)
ON CONFLICT (client_id) DO UPDATE
SET set_on = CASE WHEN $4 OR webhook_endpoints.disabled_on IS NOT NULL THEN $2 ELSE webhook_endpoints.set_on END,
    changed_on = $2, host = $3, failing_since = NULL, disabled_on = NULL, disabled_why = NULL,
    deleted_on = NULL, last_address = NULL, last_author = NULL;

-- name: forget_webhook_endpoint
-- A client has no address any more.
DELETE FROM webhook_endpoints WHERE client_id = $1;

-- name: keep_last_webhook_address
-- A client is about to be deleted: its last events are still to come.
INSERT INTO webhook_endpoints (client_id, last_address, last_author, deleted_on)
SELECT client_id, webhook_uri, author_id, $2 FROM clients WHERE client_id = $1 AND webhook_uri IS NOT NULL
ON CONFLICT (client_id) DO UPDATE
SET last_address = excluded.last_address, last_author = excluded.last_author, deleted_on = excluded.deleted_on;

-- name: disable_webhook
-- Nothing is sent any more, unless the author has set an address since $4.
UPDATE webhook_endpoints SET disabled_on = $2, disabled_why = $3
WHERE client_id = $1 AND changed_on = $4 AND disabled_on IS NULL
RETURNING client_id;

-- name: find_disabled_webhook
-- Since when nothing is sent to a client's address, held against a change of that.
SELECT disabled_on FROM webhook_endpoints WHERE client_id = $1 FOR UPDATE;

-- name: read_webhook_endpoint
-- How a client's address fares, and how many of its deliveries wait, counted up to a limit; one row for every client.
SELECT e.failing_since, e.disabled_on, e.disabled_why,
       (SELECT count(*) FROM (
           SELECT FROM webhook_deliveries WHERE client_id = $1 AND due_on IS NOT NULL LIMIT $2) AS counted) AS waiting
FROM (SELECT) AS one LEFT JOIN webhook_endpoints AS e ON e.client_id = $1;

-- name: find_webhook_addresses
-- Of some clients those that have an address which is not disabled, also deleted ones; and since when.
SELECT wanted.client_id, coalesce(e.set_on, 0) AS set_on,
       CASE WHEN c.client_id IS NULL THEN e.last_address ELSE c.webhook_uri END AS address
FROM unnest($1::text[]) AS wanted (client_id)
LEFT JOIN clients AS c ON c.client_id = wanted.client_id
LEFT JOIN webhook_endpoints AS e ON e.client_id = wanted.client_id
WHERE CASE WHEN c.client_id IS NULL THEN e.last_address ELSE c.webhook_uri END IS NOT NULL AND e.disabled_on IS NULL;

-- name: queue_webhooks
-- Clients whose first delivery is due at $3 at the latest, each with the host of its address; always in one order.
INSERT INTO webhook_endpoints (client_id, host, due_on)
SELECT client_id, host, $3 FROM unnest($1::text[], $2::text[]) AS queued (client_id, host) ORDER BY client_id COLLATE "C"
ON CONFLICT (client_id) DO UPDATE
SET host = excluded.host, due_on = least(webhook_endpoints.due_on, excluded.due_on);

-- name: insert_webhook_deliveries
-- What clients' programs are told; an event that came again is there already.
INSERT INTO webhook_deliveries (webhook_id, client_id, user_id, type, key_id, body, happened_on, queued_on, due_on)
SELECT webhook_id, client_id, user_id, type, key_id, body, happened_on, happened_on, $8
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::bigint[])
    AS told (webhook_id, client_id, user_id, type, key_id, body, happened_on)
ON CONFLICT (webhook_id) DO NOTHING;

-- name: insert_revoked_grants
-- Tells programs of the standing consents that are about to end: of people $1 (to one client, or to all where $2 is null), or
-- of everybody to the client $2 where $1 is null. They are held, always in one order, until they are gone: whoever else ends
-- one at this moment finds nothing to tell. Of people: who was told of, and to which client.
WITH of_people AS MATERIALIZED (
    SELECT user_id, client_id FROM grants
    WHERE user_id = ANY ($1::bigint[]) AND ($2::text IS NULL OR client_id = $2)
    ORDER BY user_id, client_id
    FOR UPDATE
), of_client AS MATERIALIZED (
    SELECT user_id, client_id FROM grants WHERE $1::bigint[] IS NULL AND client_id = $2
    ORDER BY user_id, client_id
    FOR UPDATE
), ending AS (
    SELECT user_id, client_id FROM of_people UNION ALL SELECT user_id, client_id FROM of_client
), told AS (
    INSERT INTO webhook_deliveries (webhook_id, client_id, user_id, type, body, happened_on, queued_on, due_on)
    SELECT
        'msg_' || lpad(to_hex($4::bigint), 12, '0') || replace(gen_random_uuid()::text, '-', ''),
        g.client_id, g.user_id, 'grant.revoked',
        convert_to(
            '{"type":"grant.revoked","timestamp":' || to_json($5::text)::text || ',"data":{"keyID":null,"userID":'
            || g.user_id || coalesce(',"externalUser":' || to_json(first.subject)::text, '')
            || ',"clientID":' || to_json(g.client_id::text)::text || ',"reason":' || to_json($3::text)::text || '}}', 'UTF8'),
        $4, $4, $4
    FROM ending AS g
    JOIN clients AS c ON c.client_id = g.client_id AND c.webhook_uri IS NOT NULL
    LEFT JOIN webhook_endpoints AS e ON e.client_id = g.client_id
    LEFT JOIN LATERAL (
        SELECT subject FROM external_identities AS i WHERE i.user_id = g.user_id ORDER BY number LIMIT 1
    ) AS first ON true
    WHERE e.disabled_on IS NULL AND coalesce(e.set_on, 0) <= $4
    RETURNING user_id, client_id
), queued AS (
    INSERT INTO webhook_endpoints (client_id, due_on)
    SELECT client_id, $4::bigint FROM told GROUP BY client_id ORDER BY client_id COLLATE "C"
    ON CONFLICT (client_id) DO UPDATE SET due_on = least(webhook_endpoints.due_on, excluded.due_on)
)
SELECT user_id, client_id FROM told WHERE $1::bigint[] IS NOT NULL;

-- name: merge_narrowings
-- Of people ($1) at clients ($2): where a key was narrowed for the same reason more than once, only the newest delivery waits.
-- It says all that the others say, and is tried after the last of them happened; one of them may be in hand.
DELETE FROM webhook_deliveries WHERE webhook_id = ANY (ARRAY(
    SELECT webhook_id FROM webhook_deliveries
    WHERE due_on IS NOT NULL AND webhook_id = ANY (ARRAY(
        SELECT webhook_id FROM (
            SELECT d.webhook_id, row_number() OVER (
                PARTITION BY d.key_id, convert_from(d.body, 'UTF8')::json #>> '{data,reason}' ORDER BY d.number DESC) AS place
            FROM unnest($1::bigint[], $2::text[]) AS told (user_id, client_id)
            JOIN webhook_deliveries AS d ON d.user_id = told.user_id AND d.client_id = told.client_id
            WHERE d.due_on IS NOT NULL AND d.type = 'key.narrowed'
        ) AS narrowed
        WHERE place > 1
    ))
    FOR UPDATE SKIP LOCKED
));

-- name: drop_webhooks_of_people
-- Of each person ($1) the newest $3 deliveries wait for one client ($2): no account makes us keep more. The others are dropped,
-- but those in hand.
UPDATE webhook_deliveries
SET status = 'dropped', due_on = NULL, ended_on = $4, last_failure = $5
WHERE webhook_id = ANY (ARRAY(
    SELECT webhook_id FROM webhook_deliveries
    WHERE due_on IS NOT NULL AND webhook_id = ANY (ARRAY(
        SELECT old.webhook_id FROM unnest($1::bigint[], $2::text[]) AS told (user_id, client_id) CROSS JOIN LATERAL (
            SELECT webhook_id FROM webhook_deliveries AS d
            WHERE d.user_id = told.user_id AND d.client_id = told.client_id AND d.due_on IS NOT NULL
            ORDER BY number DESC OFFSET $3
        ) AS old
    ))
    FOR UPDATE SKIP LOCKED
))
RETURNING client_id;

-- name: insert_webhook_test
-- An event that the author asked for.
INSERT INTO webhook_deliveries (webhook_id, client_id, type, body, happened_on, queued_on, due_on)
VALUES ($1, $2, $3, $4, $5, $5, $5)
RETURNING *;

-- name: drop_old_webhook_tests
-- Of a client's tests the newest $3 wait.
UPDATE webhook_deliveries
SET status = 'dropped', due_on = NULL, ended_on = $4, last_failure = $5
WHERE due_on IS NOT NULL AND webhook_id = ANY (ARRAY(
    SELECT webhook_id FROM webhook_deliveries
    WHERE client_id = $1 AND due_on IS NOT NULL AND type = $2 ORDER BY number DESC OFFSET $3
))
RETURNING client_id;

-- name: replay_webhook_delivery
-- A client's delivery is due at once, with all of its tries, be it over or not.
UPDATE webhook_deliveries
SET status = 'waiting', due_on = $3, queued_on = $3, ended_on = NULL, tries = 0
WHERE client_id = $1 AND webhook_id = $2
RETURNING *;

-- name: queue_webhook
-- A client's first delivery is due at $2 at the latest.
INSERT INTO webhook_endpoints (client_id, due_on) VALUES ($1, $2)
ON CONFLICT (client_id) DO UPDATE SET due_on = least(webhook_endpoints.due_on, excluded.due_on);

-- name: list_webhook_deliveries
-- A client's deliveries before a number, newest first.
SELECT webhook_id, number, type, key_id, status, tries, happened_on, due_on, last_tried_on, last_status, last_failure,
       ended_on
FROM webhook_deliveries
WHERE client_id = $1 AND ($2::bigint IS NULL OR number < $2) ORDER BY number DESC LIMIT $3;

-- name: are_webhooks_due
-- Whether there is anything to send: what an idle process asks each second.
SELECT EXISTS (SELECT FROM webhook_endpoints WHERE due_on <= $1);

-- name: take_webhook_endpoints
-- Clients with something due, those that count as slow or the others, but those of $2, at the hosts of $3 and of the authors of
-- $4; held while theirs is taken. Author 0 is the operator.
SELECT e.client_id, e.host, e.set_on, e.changed_on, e.disabled_on, e.deleted_on,
       CASE WHEN c.client_id IS NULL THEN e.last_address ELSE c.webhook_uri END AS address,
       coalesce(CASE WHEN c.client_id IS NULL THEN e.last_author ELSE c.author_id END, 0) AS author
FROM webhook_endpoints AS e LEFT JOIN clients AS c ON c.client_id = e.client_id
WHERE e.due_on <= $1 AND e.client_id <> ALL ($2::text[]) AND e.host <> ALL ($3::text[])
      AND coalesce(CASE WHEN c.client_id IS NULL THEN e.last_author ELSE c.author_id END, 0) <> ALL ($4::bigint[])
      AND $5 = (e.slow_until IS DISTINCT FROM 0)
ORDER BY e.due_on LIMIT $6
FOR UPDATE OF e SKIP LOCKED;

-- name: lease_webhook_deliveries
-- The deliveries of some clients that have been due longest, at most $3 of each: nobody else takes them before $4.
UPDATE webhook_deliveries SET due_on = $4
WHERE due_on <= $2 AND webhook_id = ANY (ARRAY(
    SELECT d.webhook_id FROM unnest($1::text[]) AS taken (client_id) CROSS JOIN LATERAL (
        SELECT webhook_id FROM webhook_deliveries AS w
        WHERE w.client_id = taken.client_id AND w.due_on <= $2 ORDER BY w.due_on, w.number LIMIT $3
    ) AS d
))
RETURNING webhook_id, client_id, type, body, happened_on, queued_on, tries;

-- name: move_webhook_endpoints
-- The next place in the queue of clients whose turn it was: behind those that wait already.
UPDATE webhook_endpoints AS e
SET due_on = (
    SELECT greatest(first.due_on, $2) FROM (
        SELECT due_on FROM webhook_deliveries AS d
        WHERE d.client_id = e.client_id AND d.due_on IS NOT NULL ORDER BY due_on LIMIT 1
    ) AS first)
WHERE e.client_id = ANY ($1::text[]);

-- name: record_webhook_tries
-- What came of tries whose lease ($2) still is ours: each is over at a time, or due again at one ($4).
UPDATE webhook_deliveries AS d
SET status = r.status, due_on = r.due_on, tries = d.tries + r.tried, ended_on = r.ended_on,
    last_tried_on = coalesce(r.tried_on, d.last_tried_on),
    last_status = CASE WHEN r.tried = 0 THEN d.last_status ELSE r.last_status END,
    last_failure = CASE WHEN r.tried = 0 THEN d.last_failure ELSE r.last_failure END
FROM unnest($1::text[], $3::text[], $4::bigint[], $5::bigint[], $6::integer[], $7::bigint[], $8::integer[], $9::text[])
    AS r (webhook_id, status, due_on, ended_on, tried, tried_on, last_status, last_failure)
WHERE d.webhook_id = r.webhook_id AND d.due_on = $2
RETURNING d.webhook_id;

-- name: judge_webhook_endpoint
-- Until when an endpoint surely is slow ($3: 0, it was quick; null, nothing is known): a quick turn counts only after that. How
-- its address fares, unless that was set anew since $2: whether every try failed ($4, null: none ended).
UPDATE webhook_endpoints
SET slow_until = CASE
        WHEN $3::bigint = 0 AND slow_until > $5::bigint THEN slow_until ELSE coalesce($3::bigint, slow_until)
    END,
    failing_since = CASE
        WHEN changed_on <> $2 OR $4::boolean IS NULL THEN failing_since
        WHEN $4 THEN coalesce(failing_since, $5::bigint)
    END
WHERE client_id = $1
RETURNING failing_since;

-- name: drop_webhooks
-- Some deliveries that nobody is to be sent.
UPDATE webhook_deliveries SET status = 'dropped', due_on = NULL, ended_on = $2, last_failure = $3
WHERE due_on IS NOT NULL AND webhook_id = ANY ($1::text[])
RETURNING client_id;

-- name: drop_waiting_webhooks
-- Everything that waits for a client's address.
UPDATE webhook_deliveries SET status = 'dropped', due_on = NULL, ended_on = $2, last_failure = $3
WHERE client_id = $1 AND due_on IS NOT NULL
RETURNING client_id;

-- name: forget_webhook_deliveries
-- A new client has the id of a deleted one, whose deliveries are nothing to its author.
DELETE FROM webhook_deliveries WHERE client_id = $1;

-- name: trim_webhook_deliveries
-- Deletes some of the finished deliveries of clients, of each but the newest $2; of one that was deleted, all.
DELETE FROM webhook_deliveries WHERE webhook_id = ANY (ARRAY(
    SELECT webhook_id FROM webhook_deliveries
    WHERE ended_on IS NOT NULL AND webhook_id = ANY (ARRAY(
        SELECT old.webhook_id
        FROM unnest($1::text[]) AS wanted (client_id)
        LEFT JOIN clients AS c ON c.client_id = wanted.client_id
        CROSS JOIN LATERAL (
            SELECT webhook_id FROM webhook_deliveries AS d
            WHERE d.client_id = wanted.client_id AND d.ended_on IS NOT NULL
            ORDER BY number DESC OFFSET CASE WHEN c.client_id IS NULL THEN 0 ELSE $2::bigint END LIMIT $3
        ) AS old
    ))
    FOR UPDATE SKIP LOCKED
));

-- name: measure_webhooks
-- How many deliveries wait (counted up to a limit), since when the oldest; since when an endpoint that is quick waits for its
-- turn; how many are disabled.
SELECT waiting.counted, waiting.oldest_on,
       (SELECT due_on FROM webhook_endpoints WHERE due_on IS NOT NULL AND slow_until = 0 ORDER BY due_on LIMIT 1) AS due_on,
       (SELECT count(*) FROM webhook_endpoints WHERE disabled_on IS NOT NULL) AS disabled
FROM (
    SELECT count(*) AS counted, min(queued_on) AS oldest_on
    FROM (SELECT queued_on FROM webhook_deliveries WHERE due_on IS NOT NULL LIMIT $1) AS found
) AS waiting;

-- name: purge_webhook_deliveries
-- Deletes some of those that ended more than so many days ago by the server's clock.
DELETE FROM webhook_deliveries WHERE webhook_id = ANY (ARRAY(
    SELECT webhook_id FROM webhook_deliveries
    WHERE ended_on < (extract(epoch FROM now()) * 1000)::bigint - $1::bigint * 86400000
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: purge_webhook_endpoints
-- Deletes some addresses of clients that were deleted more than so many days ago, where nothing waits for them.
DELETE FROM webhook_endpoints WHERE client_id = ANY (ARRAY(
    SELECT client_id FROM webhook_endpoints AS e
    WHERE deleted_on < (extract(epoch FROM now()) * 1000)::bigint - $1::bigint * 86400000
      AND NOT EXISTS (SELECT FROM webhook_deliveries AS d WHERE d.client_id = e.client_id AND d.due_on IS NOT NULL)
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: purge_webhook_versions
-- Deletes some rows older than so many days of clients that are gone, with all that was to be sent to them.
DELETE FROM webhook_versions WHERE client_id = ANY (ARRAY(
    SELECT client_id FROM webhook_versions AS v
    WHERE created_on < (extract(epoch FROM now()) * 1000)::bigint - $1::bigint * 86400000
      AND NOT EXISTS (SELECT FROM clients AS c WHERE c.client_id = v.client_id)
      AND NOT EXISTS (SELECT FROM webhook_endpoints AS e WHERE e.client_id = v.client_id)
    LIMIT $2
    FOR UPDATE SKIP LOCKED
));

-- name: delete_client
-- Removes a client and, by cascade, its grants; when anybody last consented to it.
DELETE FROM clients
WHERE client_id = $1
RETURNING (SELECT max(granted_on) FROM grants AS g WHERE g.client_id = $1) AS last_granted_on;

-- name: insert_ending_client
-- Remembers a deleted client until the end of its keys is confirmed.
INSERT INTO ending_clients (client_id, author_id, name, before)
VALUES ($1, $2, $3, $4)
ON CONFLICT (client_id) DO UPDATE SET author_id = $2, name = $3, before = $4;

-- name: find_ending_client
-- A deleted client whose keys are not known to be dead, to its author (or the operator: author null).
SELECT client_id, name, before
FROM ending_clients
WHERE client_id = $1 AND ($2::bigint IS NULL OR author_id = $2);

-- name: forget_ending_client
-- The keys of a deleted client are dead: nothing is left to retry.
DELETE FROM ending_clients WHERE client_id = $1 AND before = $2;

-- name: find_grant
-- A person's standing consent to one client.
SELECT permissions, first_granted_on, granted_on FROM grants WHERE user_id = $1 AND client_id = $2;

-- name: count_grants
-- How many people have a standing consent to a client, counted up to a limit.
SELECT count(*) FROM (SELECT FROM grants WHERE client_id = $1 LIMIT $2) AS counted;

-- name: list_grants
-- A person's standing consents, last granted first.
SELECT client_id, permissions, first_granted_on, granted_on
FROM grants
WHERE user_id = $1
ORDER BY granted_on DESC, client_id;

-- name: record_grant
-- Adds to a standing consent, or begins it; nothing for an account that is disabled meanwhile.
INSERT INTO grants (user_id, client_id, permissions, first_granted_on, granted_on)
SELECT u.user_id, $2, $3, $4, $4
FROM users AS u
WHERE u.user_id = $1 AND u.disabled_on IS NULL
FOR SHARE
ON CONFLICT (user_id, client_id) DO UPDATE
SET permissions = (
        SELECT array_agg(DISTINCT p) FROM unnest(grants.permissions || excluded.permissions) AS p),
    granted_on = greatest(grants.granted_on, excluded.granted_on)
RETURNING user_id;

-- name: delete_grants
-- Ends a person's standing consent to one client, or to all of them; when the last of these was given.
WITH ended AS (
    DELETE FROM grants WHERE user_id = $1 AND ($2::text IS NULL OR client_id = $2::text) RETURNING granted_on
)
SELECT max(granted_on) FROM ended;

-- name: insert_event
-- An event for the relay, written with the change that it tells.
INSERT INTO outbox (stream, type, body, created_on) VALUES ($1, $2, $3, $4);

-- name: insert_audit
-- Who did what to whom, from where, by which request.
INSERT INTO audit (happened_on, actor, action, subject, peer, request_id) VALUES ($1, $2, $3, $4, $5, $6);

-- name: count_audit
-- The same once more, where it has its line in this hour already.
UPDATE audit SET times = times + 1 WHERE counted = $1 RETURNING id;

-- name: insert_counted_audit
-- A line that counts what is the same in this hour.
INSERT INTO audit (happened_on, actor, action, subject, peer, request_id, detail, counted)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (counted) WHERE counted IS NOT NULL DO UPDATE SET times = audit.times + 1;

-- name: purge_audit
-- Deletes those of the first lines that are older than so many days by the server's clock; ids come in the order of time.
DELETE FROM audit
WHERE id = ANY (ARRAY(
    SELECT id FROM (SELECT id, happened_on FROM audit ORDER BY id LIMIT $2) AS first
    WHERE happened_on < (extract(epoch FROM now()) * 1000)::bigint - $1::bigint * 86400000
));
