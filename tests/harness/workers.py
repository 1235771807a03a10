"""A service under a supervisor, and its workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from deploy.embedded.ports import free_port
from tests.harness.processes import RunningProcess, RunningServices, is_ready, starting

WORKERS: Final = 2
"""Of each service whose workers a test replaces."""


@contextmanager
def supervised(
    services: RunningServices,
    folder: Path,
    name: str,
    workers: int,
    *options: str,
    environ: Mapping[str, str] | None = None,
) -> Iterator[tuple[RunningProcess, str]]:
    """Another process of a service (`key-issuer`) on the same stores, with so many workers; it and its address.

    A variable given as an empty text is not set.
    """
    port = free_port()
    arguments = ("serve", name, "--port", str(port), "--workers", str(workers), *options)
    added = {name: value for name, value in {**services.environ, **(environ or {})}.items() if value}
    with starting(*arguments, folder=folder, environ=added) as process:
        url = f"http://127.0.0.1:{port}"
        process.wait_until(partial(is_ready, url), "it was ready")
        process.wait_until(said(process, "listening", workers), "all workers served")
        yield process, url


def workers_of(process: RunningProcess) -> list[int]:
    """The process ids of a supervisor's workers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(word) for word in children.read_text(encoding="ascii").split()] if children.exists() else []


def said(process: RunningProcess, event: str, times: int = 1) -> Callable[[], bool]:
    """Whether its log has that event so many times, when asked."""
    return lambda: process.output().count(f'"event": "{event}"') >= times
