"""A worker that hangs is replaced, and one that does not never is: the watchdog of `serve --workers` and `--watchdog`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from shared.api_key import USER_KEY, mint_key
from tests.harness.crowd import burst, crowd_at
from tests.harness.front import fronting
from tests.harness.processes import RunningProcess, RunningServices, is_ready
from tests.harness.workers import WORKERS, said, supervised, workers_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PATIENCE_SECONDS: Final = 60.0
WATCHDOG: Final = ("--watchdog", "2")


def _events(process: RunningProcess, *names: str) -> list[dict[str, Any]]:
    """The lines of its log with one of those events."""
    lines = [json.loads(line) for line in process.output().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] in names]


def _wait_until_replaced(process: RunningProcess, url: str, victims: set[int], workers: int) -> None:
    """Until others are there in the place of the victims, and answer."""
    process.wait_until(
        lambda: victims.isdisjoint(now := workers_of(process)) and len(now) == workers,
        "a new worker",
        PATIENCE_SECONDS,
    )
    process.wait_until(partial(is_ready, url), "it was ready again", PATIENCE_SECONDS)


@pytest.mark.parametrize("name", ["auth-api", "consent-ui", "key-issuer"])
def test_a_stopped_worker_is_replaced(services: RunningServices, folder: Path, name: str) -> None:
    """SIGSTOP, the one of two workers: killed, replaced, and told in one line."""
    with supervised(services, folder, name, WORKERS, *WATCHDOG) as (process, url):
        victim, other = workers_of(process)
        os.kill(victim, signal.SIGSTOP)
        _wait_until_replaced(process, url, {victim}, WORKERS)
        assert other in workers_of(process)
        [line] = _events(process, "worker_hung", "worker_died")
        assert (line["event"], line["pid"], line["level"]) == ("worker_hung", victim, "error")
        assert line["service"] == name.replace("-", "_")
        assert process.stop() == 0


def test_the_only_worker_is_replaced_when_its_loop_hangs(services: RunningServices, folder: Path) -> None:
    """As a container runs it: code that never comes back holds the loop; the service answers on, and the log says where."""
    hang = {"LATCHKEY_FAILPOINTS": "key_issuer.verify.read=hang"}
    with supervised(services, folder, "key-issuer", 1, *WATCHDOG, environ=hang) as (process, url):
        victims = set(workers_of(process))
        _ask_with_an_unknown_key(url)
        _wait_until_replaced(process, url, victims, 1)
        [line] = _events(process, "worker_hung", "worker_died")
        assert line["event"] == "worker_hung"
        assert "failpoints.py" in line["where"][0]
        assert process.stop() == 0


def test_a_single_worker_can_be_replaced_too(services: RunningServices, folder: Path) -> None:
    """With a watchdog there is a supervisor, so SIGHUP works with one worker as with several."""
    with supervised(services, folder, "key-issuer", 1, *WATCHDOG) as (process, url):
        before = set(workers_of(process))
        os.kill(process.pid, signal.SIGHUP)
        process.wait_until(said(process, "rolling_restart_done"), "it was replaced", PATIENCE_SECONDS)
        assert is_ready(url)
        assert set(workers_of(process)) - before
        assert _events(process, "worker_hung", "worker_died") == []


def _ask_with_an_unknown_key(url: str) -> None:
    """A check that has to read the table. Nobody waits for the answer."""

    def ask() -> None:
        token = mint_key("lk", USER_KEY, url).token
        request = urllib.request.Request(f"{url}/api/v1/verify", headers={"Authorization": f"Bearer {token}"})
        with suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(request, timeout=PATIENCE_SECONDS)

    threading.Thread(target=ask, daemon=True).start()


def test_a_pause_of_everything_is_no_hang(services: RunningServices, folder: Path) -> None:
    """Supervisor and workers stand still for longer than a hang takes (a debugger, a paused container) and all go on.

    Even where the supervisor is awake first, and has heard nothing yet when it looks.
    """
    patient = ("--watchdog", "8")
    with (
        supervised(services, folder, "key-issuer", WORKERS, *patient) as (process, url),
        supervised(services, folder, "consent-ui", 1, *patient) as (clock, clock_url),
    ):
        paused, victims = workers_of(process), set(workers_of(clock))
        for pid in (*paused, process.pid):
            os.kill(pid, signal.SIGSTOP)
        # Another supervisor says when the time is over after which one that is awake would act.
        for pid in victims:
            os.kill(pid, signal.SIGSTOP)
        _wait_until_replaced(clock, clock_url, victims, 1)
        os.kill(process.pid, signal.SIGHUP)  # it says so when it looks
        os.kill(process.pid, signal.SIGCONT)
        process.wait_until(said(process, "rolling_restart"), "it looked", PATIENCE_SECONDS)
        for pid in paused:
            os.kill(pid, signal.SIGCONT)
        process.wait_until(said(process, "rolling_restart_done"), "all went on", PATIENCE_SECONDS)
        assert is_ready(url)
        assert _events(process, "worker_hung", "worker_died") == []


async def test_workers_under_load_are_left_alone(services: RunningServices) -> None:
    """However busy the workers of all services are: each is the one that it was before."""
    async with (
        fronting(services.urls, urlsplit(services.public_url).port or 0) as url,
        crowd_at(url, people=9) as crowd,
    ):
        before = {name: set(workers_of(process)) for name, process in services.processes.items()}
        async with burst(crowd, checks=4) as found:
            flood = {"username": "nobody", "password": "wrong password"}
            await asyncio.gather(*(crowd.ask("POST", "/api/v1/session", json=flood) for _ in range(200)))
        assert found.answers["exchange 200"] > 0
    for name, process in services.processes.items():
        assert set(workers_of(process)) == before[name]
        assert _events(process, "worker_hung", "worker_died") == []
