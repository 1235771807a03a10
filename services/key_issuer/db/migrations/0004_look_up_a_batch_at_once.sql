-- Keys of which nothing is known are made as before, with one look-up for each index instead of one for each key. A
-- withdrawal counts against the whole batch here, even where only an older consent than its own is among them: the issuer
-- then looks and judges key by key.
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

    -- Shared: the withdrawal of a whole person or client waits until these keys are visible.
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
