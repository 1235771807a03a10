"""The device flow (RFC 8628): codes for a device, and the person who approves it."""
