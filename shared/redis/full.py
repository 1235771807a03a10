"""What is said to a Redis that has no memory left: it refuses what could grow, and taking back must not be refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from shared.errors import StoreUnavailable
from shared.redis.connection import Argument
from shared.redis.errors import CommandError
from shared.redis.script import Script
from shared.redis.topology import key_of

FULL: Final = "OOM"
"""The reason of a ``StoreUnavailable`` for want of memory."""
EVEN_IF_FULL: Final = Script(
    "even_if_full",
    """#!lua flags=allow-oom
-- KEYS: the key of a command. ARGV: the command. Without a key it does nothing, but Redis knows the script then.
if #KEYS == 0 then return 0 end
return redis.call(unpack(ARGV))
""",
)
"""Grants nothing: Redis checks the rights of whoever runs a script for each command in it."""
INTRODUCE: Final[tuple[Argument, ...]] = ("EVAL", EVEN_IF_FULL.source, 0)
"""Makes the script known, so that a user who may run known scripts only (consent_ui) can run this one."""


async def even_if_full(
    send: Callable[[Sequence[Argument]], Awaitable[Any]],
    command: Sequence[Argument],
    sent: Awaitable[Any] | None = None,
) -> Any:
    """The reply to a command that ``send`` sends, also where Redis has no memory left.

    Where there is memory it costs nothing more. ``sent`` is the reply of a command that was sent already, to be the first
    in a row.

    Raises:
        StoreUnavailable: as ``send``; for want of memory only where this user may not run the script.
        CommandError: Redis refused the command for what it is.
    """
    try:
        return await (send(command) if sent is None else sent)
    except StoreUnavailable as error:
        return await once_more_if_full(error, send, command)


async def once_more_if_full(
    outage: StoreUnavailable,
    send: Callable[[Sequence[Argument]], Awaitable[Any]],
    command: Sequence[Argument],
) -> Any:
    """The reply to a command that Redis refused for want of memory, sent once more so that it is not refused.

    For what takes something back, and the little that this needs: small, and gone when it is done.

    Raises:
        StoreUnavailable: ``outage``, where it was none of memory, or where this user may not run the script; as ``send``.
        CommandError: Redis refused the command for what it is.
    """
    if outage.reason != FULL:
        raise outage
    again = (1, key_of(command) or "", *command)
    try:
        try:
            return await send(("EVALSHA", EVEN_IF_FULL.sha, *again))
        except CommandError as error:
            if error.code != "NOSCRIPT":  # then nothing was run
                raise
            return await send(("EVAL", EVEN_IF_FULL.source, *again))
    except CommandError as error:
        if error.code != "NOPERM":
            raise
        raise outage from error
