"""One-time codes: how they are kept in Redis, redeemed at most once, and given back."""
