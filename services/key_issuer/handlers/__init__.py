"""Owns key_issuer's HTTP surface: verify, introspect, status, users/me, report-leak, revocations."""
