"""Tests of the bus's rules that need no server."""
