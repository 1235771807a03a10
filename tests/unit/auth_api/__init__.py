"""Tests of auth_api's own rules, without stores."""
