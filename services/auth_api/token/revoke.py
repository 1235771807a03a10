"""A client revokes a key that it holds (RFC 7009 §2.1)."""

from __future__ import annotations

from services.auth_api.clients.model import Client
from services.auth_api.resources import Resources
from shared.api_key import parse_key
from shared.bus import RemoteFailure
from shared.contracts.keys import RevokeToken
from shared.errors import BusUnavailable
from shared.secret_tokens import digest_of


async def revoke_token(resources: Resources, client: Client, token: str) -> bool:
    """Ends the key if it is one of this client, dead at every verifier within a second; whether it was one.

    Raises:
        StoreUnavailable: key_issuer does not answer; the key may still be alive.
    """
    parsed = parse_key(token)
    if parsed is None:
        return False
    command = RevokeToken(key_id=parsed.key_id, digest=digest_of(token), client_id=client.client_id)
    try:
        return (await resources.bus.request(command)).found > 0
    except RemoteFailure as error:
        raise BusUnavailable("failed") from error
