"""The test-suite: real PostgreSQL and Valkey, real processes, a real browser."""
