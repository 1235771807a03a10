"""What consent_ui of release 0.2 says in clear: understood while both releases run side by side during an upgrade."""

from __future__ import annotations

from shared.contracts.authorization import REQUEST_URI
from shared.secret_tokens import digest_of
from shared.user_code import normalise_user_code


def typed_in_clear(user_code: str) -> str | None:
    """The normalised user code, where this is what a person typed and not its digests."""
    return normalise_user_code(user_code)


def in_digests(request_uri: str) -> str:
    """The digest of a pushed request's reference, also where this is the reference itself."""
    if request_uri.startswith(REQUEST_URI):
        return digest_of(request_uri.removeprefix(REQUEST_URI))
    return request_uri
