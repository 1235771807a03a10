"""Tests of auth_api on real stores, with the issuer beside it."""
