"""Owns key_issuer's HTTP surface: verify, introspect, status, report-leak."""
