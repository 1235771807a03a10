"""Sessions: who is signed in, kept in Redis under a digest."""
