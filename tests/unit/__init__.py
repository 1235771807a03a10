"""Tests of pure rules: no server, no clock, no network."""
