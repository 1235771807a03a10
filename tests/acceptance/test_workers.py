"""`serve --workers`: several processes of a service behind one port, replaced without losing a request."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from deploy.embedded.ports import free_port
from tests.harness.crowd import burst, crowd_at
from tests.harness.front import fronting
from tests.harness.processes import (
    LATCHKEY,
    RunningProcess,
    RunningServices,
    clean_environ,
    is_ready,
    starting,
)
from tests.harness.workers import WORKERS, said, supervised, workers_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PATIENCE_SECONDS: Final = 60.0


@contextmanager
def _key_issuer(
    services: RunningServices, folder: Path, **environ: str
) -> Iterator[tuple[RunningProcess, str]]:
    """Another key_issuer on the same stores; the process and its address."""
    with supervised(services, folder, "key-issuer", WORKERS, environ=environ) as started:
        yield started


async def test_a_rolling_restart_fails_no_request(services: RunningServices) -> None:
    """Under load the workers of all services are replaced, each one's in turn (SIGHUP): every request is answered with 200."""
    async with (
        fronting(services.urls, urlsplit(services.public_url).port or 0) as url,
        crowd_at(url, people=9) as crowd,
    ):
        async with burst(crowd, checks=4) as found:
            before = {name: set(workers_of(process)) for name, process in services.processes.items()}
            for process in services.processes.values():
                os.kill(process.pid, signal.SIGHUP)
            for name, process in services.processes.items():
                done = said(process, "rolling_restart_done")
                await asyncio.to_thread(
                    process.wait_until, done, "the workers were replaced", PATIENCE_SECONDS
                )
                assert before[name].isdisjoint(
                    worker for worker in workers_of(process) if not _is_leaving(process, worker, before[name])
                )
        assert found.failures == {}, found.answers
        assert found.answers["exchange 200"] > 20
        statuses = {(await crowd.verify(key))[0] for key in found.recent_keys}
        assert statuses == {200}


def _is_leaving(process: RunningProcess, worker: int, before: set[int]) -> bool:
    """Whether an old worker is there only to finish what it has begun."""
    return worker in before and len(workers_of(process)) > WORKERS


def test_a_killed_worker_is_replaced(services: RunningServices, folder: Path) -> None:
    """The port stays open, and soon there are as many workers as before."""
    with _key_issuer(services, folder) as (process, url):
        victim = workers_of(process)[0]
        os.kill(victim, signal.SIGKILL)
        process.wait_until(
            lambda: victim not in workers_of(process) and len(workers_of(process)) == WORKERS,
            "a new worker",
            PATIENCE_SECONDS,
        )
        process.wait_until(partial(is_ready, url), "it was ready again", PATIENCE_SECONDS)
        assert process.stop() == 0


def test_workers_end_with_their_supervisor(services: RunningServices, folder: Path) -> None:
    """However the supervisor ends: no worker is left that holds the port or reads the bus."""
    with _key_issuer(services, folder) as (process, _url), ExitStack() as stack:
        watched = [stack.enter_context(_watching(worker)) for worker in workers_of(process)]
        process.process.kill()
        process.process.wait()
        assert [_has_ended(each) for each in watched] == [True] * WORKERS


def test_workers_that_are_starting_end_with_their_supervisor(services: RunningServices, folder: Path) -> None:
    """Also those that had no chance yet to run a line of ours when it was killed."""
    arguments = ("serve", "key-issuer", "--port", str(free_port()), "--workers", str(WORKERS))
    with starting(*arguments, folder=folder, environ=services.environ) as process, ExitStack() as stack:
        process.wait_until(lambda: len(workers_of(process)) == WORKERS, "all workers were there")
        workers = workers_of(process)
        watched = [stack.enter_context(_watching(worker)) for worker in workers]
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        process.process.kill()
        process.process.wait()
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        assert [_has_ended(each) for each in watched] == [True] * WORKERS


@contextmanager
def _watching(pid: int) -> Iterator[int]:
    """A descriptor that tells when a process ends, whether or not anybody buries it."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)


def _has_ended(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], PATIENCE_SECONDS)[0])


def test_a_worker_that_cannot_start_leaves_the_old_ones(services: RunningServices, folder: Path) -> None:
    """A rolling restart onto a wrong configuration is given up; requests go on being answered."""
    pepper = folder / "pepper"
    folder.mkdir(exist_ok=True)
    pepper.write_text(services.environ["LATCHKEY_KEY_PEPPER"], encoding="utf-8")
    given = {"LATCHKEY_KEY_PEPPER": "", "LATCHKEY_KEY_PEPPER_FILE": str(pepper)}
    with _key_issuer(services, folder, **given) as (process, url):
        before = workers_of(process)
        pepper.write_text("short", encoding="utf-8")
        os.kill(process.pid, signal.SIGHUP)
        process.wait_until(said(process, "rolling_restart_given_up"), "it was given up", PATIENCE_SECONDS)
        assert is_ready(url)
        assert set(before) <= set(workers_of(process))


def test_metrics_are_those_of_all_workers(services: RunningServices, folder: Path) -> None:
    """Whichever worker is asked answers for both."""

    def told() -> set[str]:
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            return set(re.findall(r'worker="(\d+)"', answer.read().decode()))

    with _key_issuer(services, folder) as (process, url):
        process.wait_until(lambda: told() == {"0", "1"}, "both workers told their metrics", PATIENCE_SECONDS)


def test_a_taken_port_is_said(services: RunningServices, folder: Path) -> None:
    """A second supervisor on the same port ends with 1, although the port could be shared."""
    with _key_issuer(services, folder) as (_process, url):
        finished = subprocess.run(
            [LATCHKEY, "serve", "key-issuer", "--port", url.rpartition(":")[2], "--workers", "2"],
            env=clean_environ(services.environ),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert finished.returncode == 1
    assert "cannot_listen" in finished.stderr
