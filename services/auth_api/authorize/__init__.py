"""Authorizing: from a request to a consent page, a decision, and a code or key file."""
