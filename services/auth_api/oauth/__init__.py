"""Owns the rules of the OAuth protocol, pure: no framework, no driver, no bus, one file per noun."""
