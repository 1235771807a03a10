"""Several processes of one service behind one port, which the kernel shares out among them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Final

import structlog

from deploy.embedded.process import end_with_parent

_HEALTHY_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 1.0

_log = structlog.get_logger("latchkey.workers")


def run_workers(count: int, work: Callable[[], int]) -> int:
    """Runs `work` in `count` processes until SIGINT or SIGTERM, replacing those that die; the exit code.

    A worker that fails within its first seconds, before any has proved healthy, ends them all: the port is taken.
    """
    workers: dict[int, float] = {}
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for pid in list(workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    for _ in range(count):
        workers[_fork(work)] = time.monotonic()
    first_fails, code = True, 0
    while workers:
        pid, status = os.wait()
        lived = time.monotonic() - workers.pop(pid)
        first_fails = first_fails and lived < _HEALTHY_SECONDS
        if stopping:
            continue
        _log.error("worker_died", pid=pid, exit_code=os.waitstatus_to_exitcode(status))
        if first_fails:
            code = 1
            stop()
        else:
            time.sleep(_PAUSE_SECONDS)
            if not stopping:
                workers[_fork(work)] = time.monotonic()
    return code


def _fork(work: Callable[[], int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if (ask := end_with_parent(signal.SIGTERM)) is not None:
        ask()
    code = 1
    try:
        code = work()
    finally:
        os._exit(code)
