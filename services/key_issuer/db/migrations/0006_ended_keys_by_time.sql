-- Rows of keys that ended long ago are found by the time of their end, to be deleted. A key without an expiry enters the
-- index when it is revoked, so an issue costs nothing. Writers wait while it is made: about a second for a million keys.
CREATE INDEX api_keys_by_end ON api_keys (coalesce(ended_on, expires_on))
WHERE coalesce(ended_on, expires_on) IS NOT NULL;
