"""latchkey-sdk for Python."""
