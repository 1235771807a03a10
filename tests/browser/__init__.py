"""Tests of the pages as a person uses them, in Chromium."""
