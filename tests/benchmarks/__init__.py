"""Measurements against a bare handler in the same run."""
