"""A person's own keys: made, listed, changed and rotated."""
