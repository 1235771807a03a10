"""Faces integrators: owns accounts, sessions, clients, grants, one-time codes and the OAuth protocol."""
