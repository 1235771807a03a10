"""What a Redis must be before the bus trusts it: new enough, never evicting, and better with its log on."""

from __future__ import annotations

from typing import Any, Final

import structlog

from shared.errors import StoreUnavailable
from shared.redis.connection import Argument

OLDEST: Final = (7, 0)

_log = structlog.get_logger("latchkey.bus")


class ServerChecks:
    """Asks on every new connection, since every reconnect may find another server."""

    questions: tuple[tuple[Argument, ...], ...] = (
        ("INFO", "server"),
        ("INFO", "memory"),
        ("INFO", "persistence"),
    )

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.version = ""
        self.run_id = ""
        """Changes whenever one of the servers was started anew."""
        self._run_ids: dict[str, str] = {}
        self._warned = False

    def answered(self, server: str, replies: list[Any]) -> None:
        """Reads the answers of a server, named so that its next answers replace these.

        Raises:
            StoreUnavailable: the server would lose messages (eviction) or lacks commands.
        """
        told = [parse_info(reply) for reply in replies if isinstance(reply, bytes)]
        if not told:
            return  # this user has no right to ask
        facts = {name: value for section in told for name, value in section.items()}
        self._run_ids[server] = facts.get("run_id", "")
        self.run_id = " ".join(sorted(self._run_ids.values()))
        self.version = facts.get("valkey_version") or facts.get("redis_version", "")
        # Valkey also tells which version of Redis it is compatible with, under the old name.
        if _numbers(facts.get("redis_version", "")) < OLDEST:
            raise StoreUnavailable("redis", f"version {self.version} is too old: 7.0 is needed")
        policy = facts.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise StoreUnavailable("redis", f"maxmemory-policy is {policy}: it must be noeviction")
        if facts.get("aof_enabled") == "0" and not self._warned:
            self._warned = True
            _log.warning(
                "redis_without_log", advice="set appendonly yes: a restart forgets what is under way"
            )


def parse_info(reply: bytes) -> dict[str, str]:
    """The reply of ``INFO`` by name."""
    lines = reply.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
