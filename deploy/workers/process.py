"""One worker process as its supervisor sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.parent import end_with_parent
from deploy.workers.stack import read_stack

ROOT: Final = Path(__file__).resolve().parent.parent.parent


READY: Final = b"r"
TURN: Final = b"."
"""What a worker writes into its pipe: once, that it is ready for requests; each second, that its event loop turns."""
START_SECONDS: Final = 60.0
"""How long a worker may take to its loop's first turn."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How a worker treats connections, in seconds."""

    linger: float
    """How long a worker that stops still serves the connections it has."""
    connection_age: float
    """After which a connection is closed with its next answer; 0 for never."""


class WorkerProcess:
    """A started worker: a fresh interpreter, so that it runs the code and reads the configuration of now."""

    def __init__(self, service: str, descriptor: int, number: int, *, waits: Waits, folder: Path) -> None:
        """Starts it on an inherited listening socket; ``folder`` is where the workers meet. It ends with us."""
        self._pipe, told = os.pipe()
        os.set_blocking(self._pipe, False)
        self._folder = folder
        self._ready = self._turned = self._killed = False
        self._silence = 0.0
        self._started = time.monotonic()
        self._terminated: float | None = None
        command = [sys.executable, "-P", "-m", "deploy.workers.worker", service]
        command += [
            str(descriptor),
            str(told),
            str(number),
            str(waits.linger),
            str(waits.connection_age),
            str(folder),
        ]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            pass_fds=(descriptor, told),
            env=environ,
            preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - there are no threads here
        )
        os.close(told)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: by which signal), or ``None`` while it runs."""
        return self._process.returncode

    @property
    def age(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self._started

    @property
    def ready(self) -> bool:
        """Whether it has ever been ready for requests."""
        self._read()
        return self._ready

    @property
    def killed(self) -> bool:
        """Whether it was killed as one that hung."""
        return self._killed

    def hangs(self, passed: float, patience: float) -> bool:
        """Whether its loop has not turned for ``patience`` seconds, ``passed`` of them since the last call."""
        self._silence += passed
        self._read()
        return self._silence > (patience if self._turned else max(patience, START_SECONDS))

    def kill(self) -> Sequence[str]:
        """Ends it at once, and returns where it was (the innermost call first; nothing where it cannot say)."""
        where = read_stack(self.pid, self._folder)
        self._killed = True
        self._process.kill()
        return where

    def terminate(self) -> None:
        """Asks it to stop: it drains."""
        if self._terminated is None:
            self._terminated = time.monotonic()
            self._process.terminate()

    def ended(self, patience: float | None = None) -> bool:
        """Whether it has ended; kills it when it was asked to stop more than ``patience`` seconds ago."""
        if self._process.poll() is not None:
            self._close_pipe()
            return True
        if patience and self._terminated is not None and time.monotonic() - self._terminated > patience:
            self._process.kill()
        return False

    def _read(self) -> None:
        """Takes note of what it has told."""
        if self._pipe < 0:
            return
        try:
            told = os.read(self._pipe, 65_536)
        except BlockingIOError:
            return
        self._ready = self._ready or READY in told
        self._turned = self._turned or TURN in told
        if told:
            self._silence = 0.0

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
