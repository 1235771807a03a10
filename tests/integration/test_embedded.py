"""The embedded servers: their data directory, their lives and deaths."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from deploy.embedded import DataDirectory, DataDirectoryInUse, EmbeddedError, EmbeddedServers, is_running
from deploy.embedded.data_directory import Memory
from deploy.embedded.process import command_of
from tests.harness.processes import LATCHKEY, clean_environ, command, starting


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Polls until something is so."""
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.05)


async def write(memory: Memory, text: str) -> None:
    """Leaves a mark in both servers."""
    connection = await asyncpg.connect(memory.database_url)
    await connection.execute("CREATE TABLE marks (text text)")
    await connection.execute("INSERT INTO marks VALUES ($1)", text)
    await connection.close()
    async with Redis.from_url(memory.redis_url) as redis:
        await redis.set("mark", text)


async def read(memory: Memory) -> tuple[str, str]:
    """The marks in both servers."""
    connection = await asyncpg.connect(memory.database_url)
    row = await connection.fetchval("SELECT text FROM marks")
    await connection.close()
    async with Redis.from_url(memory.redis_url, decode_responses=True) as redis:
        return row, str(await redis.get("mark"))


def pids(memory: Memory) -> tuple[int, int]:
    """The processes of PostgreSQL and Valkey."""
    files = Path(memory.servers)
    postgres = (files / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0]
    return int(postgres), int((files / "valkey" / "valkey.pid").read_text())


async def test_data_ports_and_secrets_stay_the_same(folder: Path) -> None:
    """A second run on a data directory finds everything as the first left it."""
    directory = DataDirectory(folder / "data")
    async with EmbeddedServers.running(directory) as servers:
        first = servers.memory
        assert await is_running(first)
        await write(first, "kept")
    assert not await is_running(first)
    async with EmbeddedServers.running(directory) as servers:
        assert servers.memory == first
        assert await read(first) == ("kept", "kept")


async def test_no_process_shows_a_password(folder: Path) -> None:
    """Everybody on the machine can read the arguments of the servers, also of those that make the database."""
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            seen.update(command_of(int(process.name)) for process in Path("/proc").glob("[0-9]*"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        async with EmbeddedServers.running(DataDirectory(folder / "data")) as servers:
            memory = servers.memory
    finally:
        over.set()
        watcher.join()
    shown = "\n".join(seen)
    for program in ("initdb", "postgres", "valkey-server"):
        assert f"/{program} " in shown
    secrets = (memory.superuser_password, memory.postgres_password, memory.valkey_password, memory.secret)
    assert not [secret for secret in (*secrets, memory.key_pepper) if secret in shown]


async def test_a_directory_serves_one_at_a_time(folder: Path) -> None:
    """A second run says who has the directory, and leaves the first alone."""
    directory = DataDirectory(folder / "data")
    async with EmbeddedServers.running(directory) as servers:
        with pytest.raises(DataDirectoryInUse, match=f"in use by process {os.getpid()}"):
            async with EmbeddedServers.running(DataDirectory(folder / "data")):
                pass
        assert await is_running(servers.memory)


async def test_a_killed_server_comes_back_with_its_data(folder: Path) -> None:
    """After kill -9 of both, both are back on their ports, and what was committed is there."""
    async with EmbeddedServers.running(DataDirectory(folder / "data")) as servers:
        await write(servers.memory, "kept")
        # Valkey's log reaches the disk within a second; what the kernel holds survives a killed process anyway.
        before = pids(servers.memory)
        for pid in before:
            os.kill(pid, signal.SIGKILL)

        async def back() -> bool:
            return await is_running(servers.memory) and not set(pids(servers.memory)) & set(before)

        await until(back)
        assert await read(servers.memory) == ("kept", "kept")


async def test_a_killed_postgres_comes_back_though_a_child_of_it_lives(folder: Path) -> None:
    """A backend that does not notice the end of its postmaster would keep the shared memory, and the port, for ever."""
    async with EmbeddedServers.running(DataDirectory(folder / "data")) as servers:
        await write(servers.memory, "kept")
        connection = await asyncpg.connect(servers.memory.database_url)
        backend = await connection.fetchval("SELECT pg_backend_pid()")
        postmaster, _ = pids(servers.memory)
        os.kill(backend, signal.SIGSTOP)
        os.kill(postmaster, signal.SIGKILL)
        connection.terminate()

        async def back() -> bool:
            return await is_running(servers.memory) and pids(servers.memory)[0] != postmaster

        await until(back)
        assert not command_of(backend)
        assert await read(servers.memory) == ("kept", "kept")


async def test_strangers_cannot_use_the_servers(folder: Path) -> None:
    """Both ask for a password, and who keeps them can alone read it."""
    async with EmbeddedServers.running(DataDirectory(folder / "data")) as servers:
        memory = servers.memory
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(memory.database_url.replace(memory.postgres_password, "guess"))
        url = memory.redis_url.replace(memory.valkey_password, "guess")
        async with Redis.from_url(url) as redis:
            with pytest.raises(AuthenticationError):
                await redis.ping()
    kept = folder / "data" / "latchkey.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    postgres = Path(memory.servers) / "postgres"
    assert stat.S_IMODE(postgres.stat().st_mode) == 0o700
    assert postgres.stat().st_uid != 0, "servers never run as root"


def test_a_directory_of_other_files_is_refused(tmp_path: Path) -> None:
    """A data directory given by mistake keeps what it has."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(EmbeddedError, match="neither empty nor"), DataDirectory(tmp_path).claim():
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_damaged_memory_is_an_error_and_not_a_new_start(tmp_path: Path) -> None:
    """Passwords that cannot be read are never replaced by new ones."""
    (tmp_path / "latchkey.json").write_text("{")
    with pytest.raises(EmbeddedError, match="cannot read"):
        DataDirectory(tmp_path).recall()
    (tmp_path / "latchkey.json").write_text('{"format": 99}')
    with pytest.raises(EmbeddedError, match="another version"):
        DataDirectory(tmp_path).recall()


async def test_what_a_killed_parent_left_is_recovered(folder: Path) -> None:
    """After kill -9 of `backends` the next one starts on the same ports with the same data."""
    data_dir = str(folder / "data")
    directory = DataDirectory(folder / "data")

    async def running() -> bool:
        memory = directory.recall()
        return memory is not None and await is_running(memory)

    with starting("backends", "--data-dir", data_dir, folder=folder, executable=True) as first:
        await until(running)
        memory = directory.recall()
        assert memory is not None
        await write(memory, "kept")
        printed = command("env", "--data-dir", data_dir)
        first.process.kill()
        first.process.wait()
    with starting("backends", "--data-dir", data_dir, folder=folder, executable=True) as second:
        await until(running)
        assert command("env", "--data-dir", data_dir) == printed
        assert await read(memory) == ("kept", "kept")
        assert second.stop() == 0
    assert not await is_running(memory)


async def test_env_fails_until_the_servers_run(folder: Path) -> None:
    """`env` prints nothing and ends with 1 where nothing runs."""
    pipe = asyncio.subprocess.PIPE
    finished = await asyncio.create_subprocess_exec(
        LATCHKEY, "env", "--data-dir", str(folder / "data"), env=clean_environ(), stdout=pipe, stderr=pipe
    )
    out, error = await finished.communicate()
    assert (finished.returncode, out) == (1, b"")
    assert b"no servers accept connections" in error
    assert not (folder / "data").exists(), "asking makes nothing"


async def test_env_prints_what_a_service_needs(folder: Path) -> None:
    """Names and values without spaces, for `export $(latchkey env)`; no address while no `up` runs."""
    data_dir = folder / "data"
    async with EmbeddedServers.running(DataDirectory(data_dir)) as servers:
        printed = await asyncio.to_thread(command, "env", "--data-dir", str(data_dir))
        assert dict(line.split("=", 1) for line in printed.splitlines()) == servers.memory.environment()
        assert " " not in printed
        servers.directory.announce("http://127.0.0.1:8080")
        printed = await asyncio.to_thread(command, "env", "--data-dir", str(data_dir))
        assert printed.splitlines()[-1] == "LATCHKEY_PUBLIC_URL=http://127.0.0.1:8080"
