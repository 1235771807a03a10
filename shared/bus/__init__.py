"""Owns the message bus: envelopes, streams, requests and replies, consumers, the outbox, dead letters."""
