"""Looks at what leaves for addresses that others gave: webhooks that wait, the operator's way out, the leak partner's keys."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from deploy.doctor.findings import Notes
from services.auth_api.db.repository import QUERIES
from shared.database import load_queries
from shared.settings import Settings

AREA: Final = "outgoing requests"
MOST_COUNTED: Final = 10_000
_SECONDS: Final = 3
_OVERDUE_MS: Final = 60_000
"""Endpoints that answer wait for their turn no longer than this, or nobody sends."""
_LONG_OVERDUE_MS: Final = 600_000
"""Those that are slow or not known yet share a part of the turns: they may wait for longer, but not so long."""

_LONGEST_DUE: Final = "SELECT min(due_on) FROM webhook_endpoints"


async def examine_webhooks(notes: Notes, url: str, now: int) -> None:
    """Adds what waits in auth_api's database, and for how long; ``now`` in Unix milliseconds."""
    try:
        connection = await asyncpg.connect(
            url,
            timeout=_SECONDS,
            command_timeout=_SECONDS,
            server_settings={"application_name": "latchkey-doctor", "search_path": "auth"},
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError):
        notes.unknown("webhooks", "PostgreSQL is not reachable")
        return
    try:
        row = await connection.fetchrow(load_queries(QUERIES)["measure_webhooks"], MOST_COUNTED)
        longest_due: int | None = await connection.fetchval(_LONGEST_DUE)
    except asyncpg.UndefinedTableError:
        notes.unknown("webhooks", "their tables are not there yet", "Run `latchkey migrate`.")
        return
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        notes.unknown("webhooks", f"cannot be looked at: {error}")
        return
    finally:
        connection.terminate()
    assert row is not None
    judge_webhooks(
        notes,
        now,
        waiting=row["counted"],
        due_on=row["due_on"],
        longest_due=longest_due,
        disabled=row["disabled"],
    )


def judge_webhooks(
    notes: Notes, now: int, *, waiting: int, due_on: int | None, longest_due: int | None, disabled: int
) -> None:
    """Adds one finding.

    Args:
        notes: takes the finding.
        now: Unix milliseconds, like the other times.
        waiting: deliveries that wait, for their first try or the next.
        due_on: since when an endpoint that answers waits for its turn; ``None`` where none does.
        longest_due: the same of all endpoints.
        disabled: addresses to which nothing is sent until their authors set them again.
    """
    count = f"{waiting:,}{' or more' if waiting >= MOST_COUNTED else ''} wait"
    detail = f"{count}; {disabled:,} addresses are disabled" if disabled else count
    overdue = 0 if due_on is None else now - due_on
    longest = 0 if longest_due is None else now - longest_due
    if overdue > _OVERDUE_MS:
        notes.problem(
            "webhooks",
            f"{detail}; some have been due for {overdue // 1000:,} s at endpoints that answer",
            "Is auth_api running, and not busy? Scale it; look for `webhooks` in its log.",
        )
    elif longest > _LONG_OVERDUE_MS:
        notes.warning(
            "webhooks",
            f"{detail}; some have been due for {longest // 1000:,} s",
            "Is auth_api running? Else very many endpoints are slow at once: does it get out (DNS, firewall, proxy)?",
        )
    else:
        notes.ok("webhooks", detail)


async def examine_proxy(notes: Notes, proxy: str) -> None:
    """Adds whether the operator's egress proxy takes connections; its password appears nowhere."""
    parts = urlsplit(proxy)
    place = f"{parts.hostname}:{parts.port}"
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except (OSError, TimeoutError) as error:
        notes.problem(
            "proxy",
            f"{place} is not reachable: {str(error) or 'no answer'}",
            "Start it, or mend LATCHKEY_OUTGOING_PROXY: without it no webhook leaves.",
        )
        return
    writer.transport.abort()
    notes.ok("proxy", f"{place} takes connections")


async def examine_leak_partner(notes: Notes, settings: Settings) -> None:
    """Adds whether the leak partner's public keys can be read, from their file or their address, as key_issuer does."""
    from services.key_issuer.leak_partner import (
        reader_of,
    )  # what asks over HTTP, only where there is something to ask
    from shared.partner_keys import read_partner_keys
    from shared.web.guarded_fetcher import GuardedFetcher

    source = settings.leak_partner_keys
    fetcher = GuardedFetcher(settings)
    try:
        read = reader_of(source, fetcher)
        assert read is not None, "asked for where there is a source"
        keys = read_partner_keys(await read())
    except (OSError, ValueError) as error:
        advice = (
            "Is the file where key_issuer has it?"
            if isinstance(source, Path)
            else "Does key_issuer get out to it (DNS, firewall, LATCHKEY_OUTGOING_PROXY)?"
        )
        notes.problem(
            "leak partner's keys", f"{source}: {error}", f"{advice} Reports of many keys are refused."
        )
    else:
        notes.ok("leak partner's keys", f"{len(keys)} that can be used, of {source}")
    finally:
        await fetcher.close()
