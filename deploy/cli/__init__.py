"""Owns the command line: one module a noun, loaded only when its command is run."""
