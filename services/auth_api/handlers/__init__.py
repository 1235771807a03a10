"""Owns auth_api's HTTP surface: parse a request, call one use case, answer."""
