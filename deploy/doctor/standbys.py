"""Looks at PostgreSQL's standbys: whether one that takes over knows of every key that was taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from deploy.doctor.findings import Notes

SUBJECT: Final = "standbys"
_WAITED_FOR: Final = frozenset({"sync", "quorum"})
_WAITING: Final = frozenset({"on", "remote_write", "remote_apply"})

# A role without pg_monitor sees how many receive the log, and nothing else of them. What copies the database or
# subscribes to its tables is no standby.
_RECEIVERS: Final = """
SELECT sync_state FROM pg_stat_replication AS receiver
WHERE state IS DISTINCT FROM 'backup' AND NOT EXISTS (
    SELECT FROM pg_replication_slots WHERE slot_type = 'logical' AND active_pid = receiver.pid
)
"""
_SETTINGS: Final = """
SELECT current_setting('synchronous_standby_names') AS names, current_setting('synchronous_commit') AS commit
"""


async def examine_standbys(notes: Notes, connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Adds one finding on the standbys of the server that `connection` leads to."""
    receivers = [row["sync_state"] for row in await connection.fetch(_RECEIVERS)]
    settings = await connection.fetchrow(_SETTINGS)
    assert settings is not None
    judge_standbys(notes, receivers, names=settings["names"], commit=settings["commit"])


def judge_standbys(notes: Notes, receivers: Sequence[str | None], *, names: str, commit: str) -> None:
    """Adds one finding: well where none is connected, or where each commit waits until a standby has it too.

    Args:
        notes: takes the finding.
        receivers: ``sync_state`` of each that receives the write-ahead log; ``None`` where the role may not see it.
        names: the setting ``synchronous_standby_names``.
        commit: the setting ``synchronous_commit``.
    """
    connected = f"{len(receivers)} connected"
    seen = [state for state in receivers if state is not None]
    waited_for = sum(state in _WAITED_FOR for state in seen)
    if not receivers and not names:
        notes.ok(SUBJECT, "none: nothing can take over")
    elif not names or commit not in _WAITING:
        notes.warning(
            SUBJECT,
            f"{connected}, and no commit waits for one: after a failover keys that were revoked just before live again",
            "Set `synchronous_standby_names = 'ANY 1 (*)'` and `synchronous_commit = on`, with two standbys or more: "
            "while none is connected, nothing can be written.",
        )
    elif not receivers or (seen and not waited_for):
        notes.problem(
            SUBJECT,
            f"{connected}, none of them in `synchronous_standby_names`: every write waits for one",
            "Start a standby, or mend `synchronous_standby_names`.",
        )
    else:
        notes.ok(SUBJECT, f"{connected}, each commit waits for: {names}")
