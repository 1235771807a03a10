"""What of a page's address goes on to auth_api over the bus, which writes to disk: no secret that stands in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from shared.contracts.authorization import CARRIED, REQUEST_URI, Flow
from shared.secret_tokens import digest_of
from shared.user_code import normalise_user_code, user_code_digests

AuthorizationQuery = tuple[tuple[str, str], ...]


def without_secrets(
    secrets: Sequence[bytes], flow: Flow, pairs: Iterable[tuple[str, str]]
) -> AuthorizationQuery:
    """The pairs that mean something in this flow, as ``PrepareAuthorization.query`` has them.

    ``secrets`` are the site's, newest first.
    """
    return tuple(
        (name, _DIGESTED[name](secrets, value) if name in _DIGESTED else value)
        for name, value in pairs
        if name in CARRIED[flow]
    )


def _of_user_code(secrets: Sequence[bytes], typed: str) -> str:
    code = normalise_user_code(typed)
    return "" if code is None else " ".join(user_code_digests(secrets, code))


def _of_reference(_secrets: Sequence[bytes], request_uri: str) -> str:
    """Of an address that is no reference of ours nothing is told; an empty one stays empty, which counts as absent."""
    if not request_uri.startswith(REQUEST_URI):
        return request_uri and "not ours"
    return digest_of(request_uri.removeprefix(REQUEST_URI))


_DIGESTED: Final[Mapping[str, Callable[[Sequence[bytes], str], str]]] = {
    "user_code": _of_user_code,
    "request_uri": _of_reference,
}
