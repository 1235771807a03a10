"""The token endpoint's use cases: swapping a code for a key, answering a retry, giving a code back, revoking a key.

Every use case here raises ``StoreUnavailable`` where Redis or key_issuer does not answer in time. A code that was to be
redeemed is then being given back; a key that was to be revoked may still be alive, so nothing is said of it.
"""
