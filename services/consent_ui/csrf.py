"""Tokens that tie a form to the session it was shown to; nothing is kept for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.secret_tokens import keyed_digest, same_digest


@dataclass(frozen=True, slots=True)
class CsrfTokens:
    """Makes and checks the hidden tokens. ``secrets`` newest first: the older ones still open their own forms."""

    secrets: Sequence[bytes] = field(repr=False)

    def token(self, session: str, form: str) -> str:
        """The token of ``form`` (its name, with the id of what it acts on) for the digest of a session."""
        return keyed_digest(self.secrets[0], "csrf", session, form)

    def accepts(self, session: str, form: str, token: str) -> bool:
        """Whether ``token`` belongs to this form and session."""
        return any(same_digest(keyed_digest(secret, "csrf", session, form), token) for secret in self.secrets)
