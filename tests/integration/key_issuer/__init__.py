"""The issuer on a real PostgreSQL and Valkey."""
