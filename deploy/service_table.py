"""The services as the command line knows them: name, default port, and what each cannot do without."""

from __future__ import annotations

from typing import Final

PORTS: Final = {"auth-api": 8101, "consent-ui": 8102, "key-issuer": 8103}
NEEDS: Final = {
    "auth-api": frozenset({"auth_api_database_url", "redis_url", "secrets"}),
    "consent-ui": frozenset({"redis_url", "secrets"}),
    "key-issuer": frozenset({"key_issuer_database_url", "redis_url", "key_peppers"}),
}
