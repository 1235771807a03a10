"""A registered client: the domain object that every use case of auth_api passes around."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.contracts.clients import ClientView

OPERATOR: int = 0
"""``author_id`` of a client that belongs to the site's operator and to no account; account ids begin at 1."""


@dataclass(frozen=True, slots=True)
class Client:
    """One client as registered. Digests are SHA-256 of the secret in hex; times are Unix milliseconds."""

    client_id: str
    name: str
    author_id: int
    """The account that registered it, or ``OPERATOR``."""
    author_name: str
    redirect_uris: tuple[str, ...]
    """Byte for byte as registered; the first is the default (RFC 6749 §3.1.2.3)."""
    requested_permissions: tuple[str, ...]
    api_key_format: str | None
    api_key_filename: str | None
    webhook_uri: str | None
    homepage: str | None
    description: str | None
    public: bool
    """Has no secret and must use PKCE (RFC 6749 §2.1, RFC 7636)."""
    created_on: int
    secret_digest: str | None = field(default=None, repr=False)
    old_secret_digest: str | None = field(default=None, repr=False)
    """The secret before the last reset; counts until ``old_secret_until``."""
    old_secret_until: int | None = None
    by_operator: bool = False
    self_registered: bool = False

    def live_secret_digests(self, now: int) -> tuple[str, ...]:
        """The digests that authenticate the client at ``now``: the secret, and the old one while it overlaps."""
        digests = [self.secret_digest] if self.secret_digest else []
        if self.old_secret_digest and self.old_secret_until is not None and now < self.old_secret_until:
            digests.append(self.old_secret_digest)
        return tuple(digests)

    def to_view(self) -> ClientView:
        """What pages and other services may see of it."""
        return ClientView(
            client_id=self.client_id,
            name=self.name,
            author=self.author_id,
            author_name=self.author_name,
            redirect_uris=self.redirect_uris,
            requested_permissions=self.requested_permissions,
            api_key_format=self.api_key_format,
            api_key_filename=self.api_key_filename,
            webhook_uri=self.webhook_uri,
            homepage=self.homepage,
            description=self.description,
            public=self.public,
            created_on=self.created_on,
            by_operator=self.by_operator,
            self_registered=self.self_registered,
            old_secret_until=self.old_secret_until,
        )
