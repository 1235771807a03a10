"""The packages in sdk/, each beside a real key_issuer and beside servers that misbehave."""
