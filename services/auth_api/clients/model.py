"""A registered client: the domain object that every use case of auth_api passes around."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import asyncpg
import orjson
from pydantic import Field

from shared.contracts.clients import ClientView
from shared.secret_tokens import digest_of

OPERATOR: Final = 0
"""``author`` of a client that belongs to the site's operator and to no account; account ids begin at 1."""
OPERATOR_NAME: Final = "the operator of this site"
"""Who a client without an author belongs to, in words for the consent page."""
UNKNOWN_NAME: Final = "nobody known: the app registered itself"
"""The same for a client that a program registered (RFC 7591)."""


class Client(ClientView):
    """One client as registered. Digests are SHA-256 of the secret in hex; times are Unix milliseconds."""

    secret_digest: str | None = Field(default=None, repr=False, exclude=True)
    old_secret_digest: str | None = Field(default=None, repr=False, exclude=True)
    """The secret before the last reset; counts until ``old_secret_until``."""

    def live_secret_digests(self, now: int) -> tuple[str, ...]:
        """The digests that authenticate the client at ``now``: the secret, and the old one while it overlaps."""
        digests = [self.secret_digest] if self.secret_digest else []
        if self.old_secret_digest and self.old_secret_until is not None and now < self.old_secret_until:
            digests.append(self.old_secret_digest)
        return tuple(digests)

    @cached_property
    def registration_digest(self) -> str:
        """SHA-256 in hex of what a consent rests on: the redirect URIs and the requested permissions, in their order.

        Computed once for each object that was read; ``model_copy`` would carry it over unchanged.
        """
        return digest_of(orjson.dumps([self.redirect_uris, self.requested_permissions]).decode())

    @cached_property
    def view(self) -> ClientView:
        """What pages and other services may see of it: no digest. Computed once, like ``registration_digest``."""
        return ClientView.model_validate({name: getattr(self, name) for name in ClientView.model_fields})


def client_of(row: asyncpg.Record) -> Client:
    """A row of ``clients`` with its ``author_name``; columns that a newer migration added are left out."""
    author = OPERATOR if row["author_id"] is None else row["author_id"]
    author_name = row["author_name"] or (UNKNOWN_NAME if row["self_registered"] else OPERATOR_NAME)
    return Client.model_validate({**row, "author": author, "author_name": author_name}, extra="ignore")
