"""Ending keys: one that its client gives back (RFC 7009 §2.1), or that came out of a code which is presented again."""

from __future__ import annotations

from services.auth_api.clients.model import Client
from services.auth_api.oauth.authorization_code import Redemption
from services.auth_api.resources import Resources
from shared.api_key import parse_key
from shared.bus import RemoteFailure
from shared.contracts.keys import RevokeCode, RevokeToken
from shared.errors import BusUnavailable
from shared.secret_tokens import digest_of


async def revoke_token(resources: Resources, client: Client, token: str) -> bool:
    """Ends the key if it is one of this client, dead at every verifier within a second; whether it was one."""
    parsed = parse_key(token)
    if parsed is None:
        return False
    command = RevokeToken(key_id=parsed.key_id, digest=digest_of(token), client_id=client.client_id)
    return await _revoke(resources, command)


async def revoke_replayed(resources: Resources, code_digest: str, *, client_id: str, user_id: int) -> None:
    """Ends the key that came out of a code which was presented again (RFC 6749 §4.1.2), also one still on its way."""
    await _revoke(resources, RevokeCode(code_digest=code_digest, client_id=client_id, user_id=user_id))


async def revoke_forgotten(resources: Resources, code_digest: str, redemption: Redemption) -> bool:
    """The same for a code that Redis has forgotten, if the request is bound to it; whether there was such a key."""
    command = RevokeCode(
        code_digest=code_digest, client_id=redemption.client_id, user_id=None, binding=redemption.binding
    )
    return await _revoke(resources, command)


async def _revoke(resources: Resources, command: RevokeCode | RevokeToken) -> bool:
    try:
        return (await resources.bus.request(command)).found > 0
    except RemoteFailure as error:
        raise BusUnavailable("failed") from error
