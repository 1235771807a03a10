"""Looks at what the services' users may say to Redis: the rights of an earlier version let one speak as another."""

from __future__ import annotations

from typing import Final

from deploy.doctor.findings import Notes
from shared.bus import CoalescingRedis, CommandError, names

_NOT_THEIRS: Final = (
    ("consent_ui", ("XADD", names.commands("auth_api"), "*", "t", "x")),
    ("key_issuer", ("XADD", names.commands("auth_api:consent_ui"), "*", "t", "x")),
    ("auth_api", ("XTRIM", names.commands("key_issuer"), "MAXLEN", "0")),
)


async def examine_rights(client: CoalescingRedis, notes: Notes) -> None:
    """Tries in thought (``ACL DRYRUN``) what no service may do; where there are no such users there is nothing to say.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    wrong = [user for user, command in _NOT_THEIRS if await _may(client, user, command)]
    if wrong:
        notes.problem(
            "rights",
            f"{', '.join(wrong)}: may do what is not theirs, as in an earlier version",
            "Once all services run this version, restart Redis with its users (deploy/redis/users.acl.template).",
        )


async def _may(client: CoalescingRedis, user: str, command: tuple[str, ...]) -> bool:
    try:
        answer: bytes = await client.execute("ACL", "DRYRUN", user, *command)
    except CommandError:  # no such user, or no right to ask
        return False
    return answer == b"OK"
