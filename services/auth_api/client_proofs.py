"""A client's secret checked by its digest, for key_issuer: a client that asks about its own keys (RFC 7662 §2.1)."""

from __future__ import annotations

from typing import Final

from services.auth_api.client_access import limit_key
from services.auth_api.client_directory import find_client
from services.auth_api.resources import Resources
from services.auth_api.throttle import CLIENT_PEER, Throttled, check, note_failure
from shared.contracts.clients import AuthenticateClient, ClientAuthenticated
from shared.secret_tokens import digest_of, same_digest

_NOBODY: Final = digest_of("")


async def authenticate_digest(resources: Resources, command: AuthenticateClient) -> ClientAuthenticated:
    """Whether this is the digest of the client's secret, or of the old one while it overlaps.

    Failures count as at the token endpoint, so that neither is a way around the other's limit. Unknown, public and
    wrong are the same answer.

    Raises:
        StoreUnavailable: the client or the count cannot be read.
    """
    key = limit_key(command.client_id, command.peer)
    try:
        await check(resources, CLIENT_PEER, key)
    except Throttled as throttled:
        return ClientAuthenticated(authenticated=False, retry_after=throttled.retry_after)
    client = await find_client(resources, command.client_id)
    expected = client.live_secret_digests(resources.clock.now()) if client is not None else ()
    right = [same_digest(command.secret_digest, known) for known in expected or (_NOBODY,)]
    if expected and any(right):
        return ClientAuthenticated(authenticated=True)
    await note_failure(resources, CLIENT_PEER, key)
    return ClientAuthenticated(authenticated=False)
