"""Clients: their registration, who may change them, and how they authenticate."""
