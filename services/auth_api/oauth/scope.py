"""Scopes: the permissions that a request asks for, never more than the client registered (RFC 6749 §3.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from services.auth_api.oauth.errors import invalid_scope

# scope-token *( SP scope-token ), scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_GRAMMAR: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")


def parse_scope(scope: str | None, *, name: str = "scope") -> tuple[str, ...] | None:
    """The scope values in their order; ``None`` where the parameter, called ``name`` there, is absent.

    Raises:
        OAuthError: ``invalid_scope`` where the grammar is broken.
    """
    if scope is None:
        return None
    if not _GRAMMAR.fullmatch(scope):
        raise invalid_scope(f"{name} must be permission names separated by single spaces.")
    return tuple(scope.split(" "))


def narrow(asked: Sequence[str] | None, registered: Sequence[str], *, name: str = "scope") -> tuple[str, ...]:
    """The permissions to ask the person for: all that are registered, or the asked ones in the registered order.

    Raises:
        OAuthError: ``invalid_scope`` where one is unknown or was not registered, or none is left.
    """
    if asked is None:
        return tuple(registered)
    refused = [permission for permission in asked if permission not in registered]
    if refused:
        raise invalid_scope(
            f"{name} holds a permission that the client did not register.",
            cause=f"not among the client's requestedPermissions: {' '.join(refused)[:200]}",
        )
    if not asked:
        raise invalid_scope(f"{name} must name at least one permission.")
    return tuple(permission for permission in registered if permission in asked)
