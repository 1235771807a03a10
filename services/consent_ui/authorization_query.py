"""The address of a consent page: which flow it begins, and what of it goes on to auth_api over the bus.

The bus writes to disk: no secret that stands in the address goes on. A *target* is a path and its query on our origin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote

from shared.contracts.authorization import CARRIED, REQUEST_URI, Flow
from shared.secret_tokens import digest_of
from shared.user_code import normalise_user_code, user_code_digests
from shared.web.body import parse_pairs
from shared.web.failures import Problem

AuthorizationQuery = tuple[tuple[str, str], ...]

_FLOWS: Final[Mapping[str, Flow]] = {
    "/oauth/request-auth": "request_auth",
    "/oauth/authorize": "authorize",
    "/device": "device",
}
_FILE_FLOW: Final = re.compile(r"/client-file-flow/([A-Za-z0-9_-]{1,100})", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def path_of(target: str) -> str:
    """The path, decoded."""
    return unquote(target.partition("?")[0])


def query_of(secrets: Sequence[bytes], target: str) -> AuthorizationQuery:
    """What of a page's address auth_api is told; ``secrets`` are the site's, newest first.

    Raises:
        Problem: 400, the query cannot be read; 404, no app can have this id.
    """
    return without_secrets(secrets, flow_of(target), pairs_of(target))


def flow_of(target: str) -> Flow:
    """The flow whose page this is; the Client File Flow for every path that is none of the others."""
    return _FLOWS.get(path_of(target), "client_file_flow")


def pairs_of(target: str) -> Sequence[tuple[str, str]]:
    """The pairs of the query as they were sent, duplicates included; before them the client id that a path holds.

    Raises:
        Problem: 400, the query cannot be read; 404, no app can have this id.
    """
    query = target.partition("?")[2]
    if _BAD_ESCAPE.search(query):
        raise Problem(400, "The link holds a % that two hexadecimal digits do not follow.")
    pairs = parse_pairs(query.encode(), "query")
    path = path_of(target)
    if path in _FLOWS:
        return pairs
    client = _FILE_FLOW.fullmatch(path)
    if client is None:
        raise Problem(404, "No app has this id.")
    return [("client_id", client[1]), *pairs]


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
