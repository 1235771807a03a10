"""Looks at what the services' users may do in Redis: rights of an earlier version are too many in one place, too few in another."""

from __future__ import annotations

from typing import Final

from deploy.doctor.findings import Notes
from shared.bus import CoalescingRedis, CommandError, names

_NOT_THEIRS: Final = (
    ("consent_ui", ("XADD", names.commands("auth_api"), "*", "t", "x")),
    ("key_issuer", ("XADD", names.commands("auth_api:consent_ui"), "*", "t", "x")),
    ("auth_api", ("XTRIM", names.commands("key_issuer"), "MAXLEN", "0")),
)
_EVENTS_OF_KEYS: Final = names.event_stream("events.keys")
_NEEDED: Final = (
    ("auth_api", ("XREADGROUP", "GROUP", "auth_api", "x", "STREAMS", _EVENTS_OF_KEYS, ">")),
    ("key_issuer", ("XADD", _EVENTS_OF_KEYS, "*", "t", "x")),
)
_ADVICE: Final = (
    "Once all services run this version, restart Redis with its users (deploy/redis/users.acl.template)."
)


async def examine_rights(client: CoalescingRedis, notes: Notes) -> None:
    """Tries in thought (``ACL DRYRUN``) what no service may do, and what webhooks need.

    Where there are no such users there is nothing to say.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    wrong = [user for user, command in _NOT_THEIRS if await _may(client, user, command)]
    if wrong:
        notes.problem(
            "rights", f"{', '.join(wrong)}: may do what is not theirs, as in an earlier version", _ADVICE
        )
    lacking = [user for user, command in _NEEDED if await _may(client, user, command) is False]
    if lacking:
        notes.problem("rights", f"{', '.join(lacking)}: may not do what webhooks need", _ADVICE)


async def _may(client: CoalescingRedis, user: str, command: tuple[str, ...]) -> bool | None:
    """Whether a user has the right to this command; ``None`` for no such user, or where we have no right to ask."""
    try:
        answer: bytes = await client.execute("ACL", "DRYRUN", user, *command)
    except CommandError:
        return None
    return answer == b"OK"
