"""`doctor` on a real PostgreSQL with a real standby that follows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGINT
from typing import Final

import asyncpg
import pytest

from deploy.doctor import Finding, Verdict
from deploy.doctor.postgres_store import examine_postgres
from deploy.embedded import throwaway_postgres
from deploy.embedded.account import POSTGRES, account_for, programs_for
from deploy.embedded.data_directory import Memory
from deploy.embedded.ports import free_port
from deploy.embedded.process import ServerProcess, run_program
from deploy.schemas import SCHEMAS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

FOLLOWS: Final = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"


async def _found(url: str) -> Finding:
    notes = await examine_postgres(SCHEMAS[0], url)
    (finding,) = [one for one in notes.findings if one.subject == "standbys"]
    return finding


async def test_an_asynchronous_standby_is_a_warning_until_commits_wait_for_it() -> None:
    """Seen with the role of a service, which may not look at the details, and with one that may."""
    async with throwaway_postgres() as memory:
        roles = (memory.database_url, memory.superuser_url)
        connection = await asyncpg.connect(memory.superuser_url)
        try:
            for url in roles:
                assert (await _found(url)).verdict is Verdict.OK
            async with _standby(memory):
                await _until(connection, FOLLOWS, "1")
                for url in roles:
                    finding = await _found(url)
                    assert finding.verdict is Verdict.WARNING
                    assert "1 connected" in finding.detail
                    assert "revoked" in finding.detail
                    assert "synchronous_standby_names" in finding.advice
                await _set(connection, "ANY 1 (*)")
                for url in roles:
                    finding = await _found(url)
                    assert finding.verdict is Verdict.OK, finding
                    assert "ANY 1 (*)" in finding.detail
            await _until(connection, "SELECT count(*) FROM pg_stat_replication", "0")
            for url in roles:
                assert (await _found(url)).verdict is Verdict.PROBLEM
        finally:
            await connection.close()


async def _set(connection: asyncpg.Connection[asyncpg.Record], names: str) -> None:
    await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    await connection.execute("SELECT pg_reload_conf()")
    await _until(
        connection, "SELECT setting FROM pg_settings WHERE name = 'synchronous_standby_names'", names
    )
    await _until(connection, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'", "1")


async def _until(connection: asyncpg.Connection[asyncpg.Record], query: str, expected: str) -> None:
    async with asyncio.timeout(60):
        while str(await connection.fetchval(query)) != expected:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _standby(memory: Memory) -> AsyncIterator[None]:
    """A second server with a copy of the first one's data, which follows it."""
    servers = Path(memory.servers)
    account = account_for(servers)
    programs = programs_for(account).postgres(next(iter(POSTGRES)))
    folder, passwords = servers / "standby", servers / "standby.passwords"
    folder.mkdir(mode=0o700)
    passwords.write_text(f"*:*:*:*:{memory.superuser_password}\n", encoding="utf-8")
    passwords.chmod(0o600)
    if account is not None:
        account.own(folder)
        account.own(passwords)
    primary = f"host=127.0.0.1 port={memory.postgres_port} user=postgres passfile={passwords}"
    copying = (programs / "pg_basebackup", "-D", folder, "-d", primary, "-R", "-X", "stream", "-c", "fast")
    await asyncio.to_thread(run_program, copying, account=account, folder=folder)
    settings = {
        "port": str(free_port()),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",  # no fewer than the first one
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command: list[str | Path] = [programs / "postgres", "-D", folder, *options]
    log = servers / "standby.log"
    process = ServerProcess(command, account=account, folder=folder, log=log, stop=SIGINT)
    try:
        yield
    finally:
        await process.stop(10.0)
        print(log.read_text(encoding="utf-8"))  # noqa: T201 - pytest shows it with a failed test
