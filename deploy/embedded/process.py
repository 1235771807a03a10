"""Processes of the operating system: starting a server, knowing it again, and stopping what a killed parent left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from os.path import samestat
from pathlib import Path
from typing import Any, Final

from deploy.embedded.account import Account
from deploy.embedded.errors import EmbeddedError
from deploy.parent import end_with_parent

_POLL_SECONDS: Final = 0.05
_END_SECONDS: Final = 5.0
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}


class ServerProcess:
    """One started server. It gets no terminal signals, none of our environment, and ends with us, however we end."""

    def __init__(
        self, command: Sequence[str | Path], *, account: Account | None, folder: Path, log: Path, stop: int
    ) -> None:
        """Starts it; its output goes to the end of `log`; `stop` is the signal that stops it cleanly."""
        self._stop = stop
        self.exited = asyncio.Event()
        loop = asyncio.get_running_loop()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=_ENVIRONMENT,
                start_new_session=True,
                preexec_fn=end_with_parent(stop),  # noqa: PLW1509  (it takes no lock)
                **_identity(account),
            )
        # Sub-process support differs between event loops; a thread that waits does not.
        threading.Thread(target=self._wait, args=(loop,), daemon=True, name="server-exit").start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def stop(self, patience: float) -> None:
        """Stops it cleanly; kills it if it has not ended after `patience` seconds."""
        if not self.exited.is_set():
            self._process.send_signal(self._stop)
        try:
            await asyncio.wait_for(self.exited.wait(), patience)
        except TimeoutError:
            self._process.kill()
            await self.exited.wait()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._process.wait()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self.exited.set)


def run_program(command: Sequence[str | Path], *, account: Account | None, folder: Path) -> None:
    """Runs a program to its end. Raises `EmbeddedError` with what it said if it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=_ENVIRONMENT,
        start_new_session=True,
        check=False,
        **_identity(account),
    )
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()
        raise EmbeddedError(f"{Path(command[0]).name} failed ({done.returncode}): {said}")


async def stop_orphan(pid: int, *, marks: Sequence[str], stop: int, patience: float) -> None:
    """Stops a server that outlived its parent, if `pid` still is that server: its command line has all `marks`."""
    if not all(mark in command_of(pid) for mark in marks):
        return
    try:
        os.kill(pid, stop)
        for _ in range(int(patience / _POLL_SECONDS)):
            if not command_of(pid):
                return
            await asyncio.sleep(_POLL_SECONDS)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise EmbeddedError(
            f"process {pid}, a server of an earlier run, belongs to another account."
        ) from error


def end_survivors(folder: Path, program: str) -> None:
    """Kills what a dead server left running in its directory: a child that does not notice its end keeps its memory.

    Call it while no such server runs. `program` is its name to the kernel. Without `/proc` nothing is done: there the
    children have to notice by themselves.
    """
    home = folder.stat()
    for survivor in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or belongs to somebody else
            is_ours = (survivor / "comm").read_text().strip() == program
            deadline = time.monotonic() + _END_SECONDS
            while is_ours and samestat((survivor / "cwd").stat(), home) and time.monotonic() < deadline:
                os.kill(int(survivor.name), signal.SIGKILL)
                time.sleep(_POLL_SECONDS)


def command_of(pid: int) -> str:
    """The command line of a living process; empty if there is none (a zombie has none either)."""
    if Path("/proc/self/cmdline").exists():
        try:
            return (
                Path(f"/proc/{pid}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
                .strip()
            )
        except OSError:
            return ""
    listing = subprocess.run(
        ["/bin/ps", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if "<defunct>" in listing.stdout else listing.stdout.strip()


def _identity(account: Account | None) -> dict[str, Any]:
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
