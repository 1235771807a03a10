-- Expiries that are still to be reported. A key without one is not in here, so that its issue costs nothing, and no use of a
-- key changes one of these columns. Writers wait while it is made, checks do not: about a second for a million keys. It is a
-- step of its own because adding a column stops checks too, until its step is committed.
CREATE INDEX api_keys_to_expire ON api_keys (expires_on)
WHERE client_id IS NOT NULL AND status <> 'revoked' AND expires_on > coalesce(expiry_reported, 0);
