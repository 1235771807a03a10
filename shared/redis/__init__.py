"""Our own connection to Redis or Valkey: owns addresses, sockets, reconnecting, and finding the server of a key.

Why there is one at all: ``docs/discussions/why-our-own-redis-connection.md``. Nothing in here knows of the bus.
"""
