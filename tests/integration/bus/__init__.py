"""Tests of the bus against a real Valkey that each test may stop, stall or empty."""
