"""Owns what the templates show: plain data, made from the answers of the other services, ready to print."""
