"""Tests that kill and stall what the services stand on."""
