"""Owns key_issuer's PostgreSQL schema `keys`: its migrations, named queries and repository."""
