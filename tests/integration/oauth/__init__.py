"""The OAuth endpoints of auth_api with key_issuer behind them, on real PostgreSQL and Valkey."""
