"""Accounts: signing up, passwords, and what an operator does to an account."""
