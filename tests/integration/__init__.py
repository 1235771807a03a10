"""Tests of one part against real PostgreSQL and Valkey."""
