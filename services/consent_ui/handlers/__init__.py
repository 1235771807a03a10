"""Owns consent_ui's HTTP surface: read a form, ask over the bus, render a page or redirect."""
