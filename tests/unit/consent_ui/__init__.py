"""Tests of what the pages are made of: names, views, templates, tokens."""
