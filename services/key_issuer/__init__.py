"""Faces resource servers: owns API keys, their cache and their revocation."""
