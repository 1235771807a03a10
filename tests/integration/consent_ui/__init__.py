"""Tests of the pages over HTTP, on running services."""
