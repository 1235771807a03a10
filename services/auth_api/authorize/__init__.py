"""Authorizing: from a request to a consent page, a decision, and a code or key file.

Every use case here raises ``StoreUnavailable`` where a store or key_issuer does not answer; then nothing was given, and
the person may decide again.
"""
