"""The services as the command line knows them: name, default port, what each cannot do without, and where it is made."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp import web

    from shared.settings import Settings

PORTS: Final = {"auth-api": 8101, "consent-ui": 8102, "key-issuer": 8103}
NEEDS: Final = {
    "auth-api": frozenset({"auth_api_database_url", "redis_url", "secrets"}),
    "consent-ui": frozenset({"redis_url", "secrets"}),
    "key-issuer": frozenset({"key_issuer_database_url", "redis_url", "key_peppers"}),
}


def load_service(name: str) -> Callable[[Settings], web.Application]:
    """The composition root of a service, by the name of its package; imports it and all that it stands on."""
    create_app: Callable[[Settings], web.Application] = import_module(f"services.{name}.app").create_app
    return create_app
