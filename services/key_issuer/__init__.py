"""Faces resource servers: owns API keys, their cache and their revocation.

Every use case here raises ``StoreUnavailable`` where PostgreSQL does not answer. Whether what it was to change is changed is
unknown then; asking again tells, since each is safe to repeat.
"""
