-- Who a key's person is to the site that Latchkey serves: the site's own id of them, and who gives that id. Both null
-- for an account that is only ours, and in rows of earlier releases, which go on running beside this one.

ALTER TABLE api_keys
    ADD COLUMN external_issuer text COLLATE "C",
    ADD COLUMN external_user text COLLATE "C",
    ADD CONSTRAINT api_keys_external_both CHECK ((external_issuer IS NULL) = (external_user IS NULL)) NOT VALID;
ALTER TYPE new_key ADD ATTRIBUTE external_issuer text, ADD ATTRIBUTE external_user text;

-- As before, with whom the person is to the site.
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
END $$;
