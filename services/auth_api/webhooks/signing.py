"""Signatures of a webhook by the Standard Webhooks specification: HMAC-SHA256 (``v1``) and Ed25519 (``v1a``)."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from shared.webhook_secret import written_secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_PREFIX: Final = "whpk_"


@dataclass(frozen=True, slots=True)
class WebhookKey:
    """One version of the keys that sign a client's webhooks; both are 32 bytes, and nothing of them is stored."""

    version: int
    """Counts the rotations of the client's keys, from 1."""
    hmac_key: bytes = field(repr=False)
    ed25519_seed: bytes = field(repr=False)
    """The private key of RFC 8032 §5.1.5."""
    ends_on: int | None
    """Unix milliseconds until when it signs; ``None`` where no end is known."""

    @property
    def secret(self) -> str:
        """The HMAC key as receivers are given it: ``whsec_`` and base64."""
        return written_secret(self.hmac_key)

    @property
    def public_key(self) -> str:
        """The Ed25519 public key as receivers are given it: ``whpk_`` and base64 of 32 bytes."""
        return PUBLIC_PREFIX + b64encode(self._private_key().public_key().public_bytes_raw()).decode()

    def sign(self, content: bytes) -> str:
        """``v1,SIGNATURE v1a,SIGNATURE`` in base64."""
        shared = hmac.digest(self.hmac_key, content, "sha256")
        return f"v1,{b64encode(shared).decode()} v1a,{b64encode(self._private_key().sign(content)).decode()}"

    def _private_key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.ed25519_seed)


def warm_up() -> None:
    """Reads the library for Ed25519 at the start of a process, not on its event loop at the first signature."""
    import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401


def signature_header(keys: Iterable[WebhookKey], webhook_id: str, timestamp: int, body: bytes) -> str:
    """``webhook-signature`` of one try: two signatures by each key in the order given, with a space between them.

    ``timestamp`` is that of ``webhook-timestamp``, in Unix seconds; ``body`` the bytes that are sent.
    """
    content = f"{webhook_id}.{timestamp}.".encode() + body
    return " ".join(key.sign(content) for key in keys)
