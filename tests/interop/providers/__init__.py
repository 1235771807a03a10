"""Other people's OpenID providers, as they are published."""
