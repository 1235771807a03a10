"""The issuer's pure parts."""
