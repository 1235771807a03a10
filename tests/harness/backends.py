"""PostgreSQL and Valkey for one run of the suite: started by whoever needs them first, stopped when the run is over.

The run's controller (pytest itself, or xdist's) holds a lock on a file of the run's folder. The process of this
module waits for that lock in the background: it gets it when the controller has ended, however it ended, and stops.
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import asyncpg

from deploy.embedded import DataDirectory, EmbeddedServers
from deploy.embedded.data_directory import Memory

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02


@contextmanager
def run_folder() -> Iterator[Path]:
    """The controller's part: a folder for this run; at the end its servers stop and it is removed."""
    folder = Path(tempfile.mkdtemp(prefix="latchkey-tests-"))
    folder.chmod(0o711)  # the servers' account passes through it
    with _held(folder / "controller.lock"):
        (folder / "data").mkdir(0o700)
        yield folder
    data = DataDirectory(folder / "data")
    deadline = time.monotonic() + _STOP_SECONDS
    while data.is_claimed() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


def new_folder(run: Path) -> Path:
    """A new folder in the run's, where servers may keep their data: their account passes through it."""
    folder = Path(tempfile.mkdtemp(dir=run))
    folder.chmod(0o711)
    return folder


def start_once(folder: Path) -> Memory:
    """The servers of this run, started now unless another worker has done so already."""
    data = DataDirectory(folder / "data")
    with _held(folder / "start.lock"):
        if not data.is_claimed():
            _start(folder, data)
    memory = data.recall()
    assert memory is not None, "the servers have started, so their memory is kept"
    return memory


def _start(folder: Path, data: DataDirectory) -> None:
    with (folder / "backends.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.backends", folder],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # so that it is never a zombie
    deadline = time.monotonic() + _START_SECONDS
    while not (folder / "ready").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the servers did not start: {(folder / 'backends.log').read_text()}")
        time.sleep(_POLL_SECONDS)


@asynccontextmanager
async def awaiting_the_disk(folder: Path) -> AsyncIterator[None]:
    """For a while PostgreSQL awaits the disk, as one that people use must; where the run has brought its own, nothing changes."""
    memory = DataDirectory(folder / "data").recall()
    if memory is None:
        yield
        return
    await _set_fsync(memory, "on")
    try:
        yield
    finally:
        await _set_fsync(memory, "off")


async def _set_fsync(memory: Memory, fsync: str) -> None:
    """Returns when new connections see it.

    What the run keeps need not outlive a power cut, and hundreds of databases are made and dropped in it.
    """
    server = await asyncpg.connect(memory.superuser_url)
    try:
        await server.execute(f"ALTER SYSTEM SET fsync = {fsync}")
        await server.execute("SELECT pg_reload_conf()")
    finally:
        await server.close()
    async with asyncio.timeout(_START_SECONDS):
        while await _fsync(memory) != fsync:
            await asyncio.sleep(_POLL_SECONDS)


async def _fsync(memory: Memory) -> str:
    server = await asyncpg.connect(memory.superuser_url)
    try:
        return str(await server.fetchval("SHOW fsync"))
    finally:
        await server.close()


@contextmanager
def _held(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def _serve(folder: Path) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait_for_controller() -> None:
        with _held(folder / "controller.lock"):
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=wait_for_controller, daemon=True).start()
    async with EmbeddedServers.running(DataDirectory(folder / "data"), databases=256) as servers:
        await _set_fsync(servers.memory, "off")
        (folder / "ready").touch()
        await over.wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
