"""Owns auth_api's PostgreSQL schema `auth`: its migrations, named queries and repository."""
