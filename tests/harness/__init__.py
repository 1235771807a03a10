"""Owns what the tests stand on: servers, databases, stacks of services, clients of them."""
