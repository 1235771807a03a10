"""Webhooks: what a client's own server is told of the keys that the client was given, and by which keys it can check that."""
