"""`latchkey …` as a fork of a Python that has imported it: it starts for a tenth of what importing costs.

The processor time of a suite that starts hundreds of them is what its length comes from. A fork is in all that a test sees of
it the program that the executable would have become, but for its command line in ``/proc``.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

MOST_BYTES: Final = 128 * 1024
"""Of a request."""
NUMBER: Final = struct.Struct("i")
"""What a fork's pipe is told: its process id, then its exit code (negative: by which signal it ended)."""
_ROOT: Final = Path(__file__).resolve().parents[2]
_FREE: Final = ("LATCHKEY_", "OTEL_", "PYTEST_", "SSL_CERT_FILE")
"""How variables begin that nobody reads while importing, or whose readers are known (``tests.harness.warm``)."""


class Fork:
    """A running `latchkey …`, to be used as a ``subprocess.Popen``."""

    def __init__(
        self, arguments: Sequence[str], environ: Mapping[str, str], streams: Sequence[IO[bytes] | None]
    ) -> None:
        """Starts it in the current folder; standard input, output and error are ``streams``, ``None`` stands for none."""
        self.args = arguments
        self.returncode: int | None = None
        self._pid: int | None = None
        self._lock = threading.Lock()
        self._told, told = os.pipe()
        weakref.finalize(self, os.close, self._told)
        request = {"arguments": arguments, "environ": as_executable(environ), "folder": str(Path.cwd())}
        with os.fdopen(told, "wb") as pipe, Path(os.devnull).open("r+b") as none:
            files = [*(stream or none for stream in streams), pipe]
            _warm_python().ask(json.dumps(request).encode(), [file.fileno() for file in files])

    @property
    def pid(self) -> int:
        """The process id. Waits for the Python that forks where that has just been started."""
        with self._lock:
            self._pid = self._read() if self._pid is None else self._pid
            return self._pid

    def poll(self) -> int | None:
        """The exit code, ``None`` while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; the exit code. Raises ``subprocess.TimeoutExpired`` after so many seconds."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(("latchkey", *self.args), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        poll = select.poll()
        poll.register(self._told, select.POLLIN)
        milliseconds = None if timeout is None else timeout * 1000
        _ = self.pid  # it is told first
        if self.returncode is None and poll.poll(milliseconds):
            self._note_end()
        return self.returncode

    def _note_end(self) -> None:
        with self._lock:
            if self.returncode is None:
                self.returncode = self._read()

    def _read(self) -> int:
        told = os.read(self._told, NUMBER.size)
        assert told, "the Python that forks is there"
        return int(NUMBER.unpack(told)[0])


class WarmPython:
    """The Python that forks, one for this process; it ends with it, however that ends."""

    def __init__(self) -> None:
        """Starts it; it imports while we go on."""
        self._control, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with asked:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.harness.warm", str(asked.fileno())],
                cwd=_ROOT,
                env=as_executable({**_BASE, "SSL_CERT_FILE": os.devnull}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(asked.fileno(),),
            )
        atexit.register(self.end)

    def ask(self, request: bytes, descriptors: list[int]) -> None:
        """Has it fork."""
        socket.send_fds(self._control, [request], descriptors)

    def end(self) -> None:
        """It forks no more; what it has forked runs on."""
        self._control.close()
        self._process.wait()


def can_fork(environ: Mapping[str, str]) -> bool:
    """Whether a fork would see of this environment all that the program sees.

    A library may have read any other variable while it was imported, so that all the others have to be as they were. On macOS
    a process that has used the system's libraries cannot be forked.
    """
    return sys.platform == "linux" and _others(environ) == _BASE


def as_executable(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment with what `./latchkey` adds to it."""
    path = [str(_ROOT), str(_ROOT / "sdk/python/src"), *filter(None, [environ.get("PYTHONPATH")])]
    return {
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
        **environ,
        "PYTHONPATH": ":".join(path),
        "LATCHKEY_PROGRAM": str(_ROOT / "latchkey"),
    }


def _others(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(_FREE)}


_BASE: Final = _others(os.environ)
_starting: Final = threading.Lock()
_warm: list[WarmPython] = []


def _warm_python() -> WarmPython:
    with _starting:
        if not _warm:
            _warm.append(WarmPython())
    return _warm[0]
