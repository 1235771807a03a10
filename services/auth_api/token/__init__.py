"""The token endpoint's use cases: swapping a code for a key, answering a retry, giving a code back, revoking a key."""
