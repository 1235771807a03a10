"""Grants: a person's standing consent to a client, and the connected apps that follow from it."""
