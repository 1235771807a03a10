"""Tests of the repository's own rules that no linter holds."""
