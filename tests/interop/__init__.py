"""Tests with other people's OAuth clients, unmodified."""
