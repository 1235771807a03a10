"""Authenticating clients: the one door before the token, revocation, pushed-request and introspection endpoints.

Everything here raises ``StoreUnavailable`` where the client or the count of its failures cannot be read.
"""

from __future__ import annotations

from services.auth_api.clients.model import Client
from services.auth_api.oauth.client_authentication import ClientCredentials, check_secret_use
from services.auth_api.oauth.errors import OAuthError, invalid_client
from services.auth_api.rate_limit import CLIENT_PEER, Throttled
from services.auth_api.resources import Resources
from shared.contracts.clients import OVERLAP_USED, AuthenticateClient, ClientAuthenticated
from shared.secret_tokens import digest_of, same_digest

_NO_CLIENT = digest_of("no client")


async def authenticate_client(
    resources: Resources,
    credentials: ClientCredentials,
    *,
    peer: str,
    step: str,
    request_id: str,
    limited_later: bool = False,
) -> Client:
    """The client that speaks; a public one by its id alone. Unknown and wrong look and cost the same.

    With ``limited_later`` the caller looks itself whether a client that is right has failed too often before.

    Raises:
        OAuthError: ``invalid_client``; counted against this client and peer together.
        Throttled: they have failed too often.
    """
    key = limit_key(credentials.client_id, peer)
    if not limited_later:
        await resources.limiter.check(CLIENT_PEER, key)
    client = await resources.clients.find(credentials.client_id)
    try:
        proven = _proven(resources, client, credentials)
    except OAuthError as error:
        if limited_later:
            await resources.limiter.check(CLIENT_PEER, key)
        await resources.limiter.note_failure(CLIENT_PEER, key)
        if client is not None:
            resources.activity_log.note(
                client.client_id, step, error.cause, by="nobody", error=error.code, request_id=request_id
            )
        raise
    if proven.old_secret_digest and same_digest(
        digest_of(credentials.secret or ""), proven.old_secret_digest
    ):
        resources.activity_log.note(proven.client_id, step, OVERLAP_USED, by="client", request_id=request_id)
    return proven


async def name_client(resources: Resources, client_id: str, *, peer: str) -> Client:
    """The client with this id, where naming it is enough (RFC 8628 §3.1); unknown ids are counted too.

    Raises:
        OAuthError: ``invalid_client``.
        Throttled: this id and peer have failed too often.
    """
    await resources.limiter.check(CLIENT_PEER, limit_key(client_id, peer))
    client = await resources.clients.find(client_id)
    if client is None:
        await resources.limiter.note_failure(CLIENT_PEER, limit_key(client_id, peer))
        raise invalid_client("unknown client")
    return client


async def authenticate_digest(resources: Resources, command: AuthenticateClient) -> ClientAuthenticated:
    """Whether this is the digest of a live secret of the client, for key_issuer: RFC 7662 §2.1 on its own keys.

    Failures count against client and peer as at the token endpoint, but apart from those: key_issuer tells no peer, only
    a digest under a secret of its own. Unknown, public and wrong are the same answer.
    """
    key = limit_key(command.client_id, command.peer)
    try:
        await resources.limiter.check(CLIENT_PEER, key)
    except Throttled as throttled:
        return ClientAuthenticated(authenticated=False, retry_after=throttled.retry_after)
    client = await resources.clients.find(command.client_id)
    right = _matches(resources, client, command.secret_digest)
    if not right:
        await resources.limiter.note_failure(CLIENT_PEER, key)
    return ClientAuthenticated(authenticated=right)


async def note_wrong_code(resources: Resources, client_id: str, peer: str) -> None:
    """Counts a code that is unknown, foreign or wrongly bound against this client and peer together."""
    await resources.limiter.note_failure(CLIENT_PEER, limit_key(client_id, peer))


def limit_key(client_id: str, peer: str) -> str:
    """What wrong secrets and codes are counted by: a client cannot be locked out from elsewhere."""
    return f"{peer} {client_id}"


def _proven(resources: Resources, client: Client | None, credentials: ClientCredentials) -> Client:
    right = _matches(resources, client, digest_of(credentials.secret or ""))
    if client is None:
        raise invalid_client("unknown client")
    check_secret_use(public=client.public, secret=credentials.secret)
    if not client.public and not right:
        raise invalid_client("client_secret is wrong")
    return client


def _matches(resources: Resources, client: Client | None, digest: str) -> bool:
    """Whether a digest is that of a live secret; as long for a client that does not exist."""
    expected: tuple[str, ...] = ()
    if client is not None and client.old_secret_digest:
        expected = client.live_secret_digests(resources.clock.now())
    elif client is not None and client.secret_digest:
        expected = (client.secret_digest,)
    right = [same_digest(digest, known) for known in expected or (_NO_CLIENT,)]
    return bool(expected) and any(right)
