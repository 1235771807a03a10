"""The forks that stand for `./latchkey` in most tests: what a test sees of one is what it sees of the executable."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from deploy.embedded.ports import free_port
from tests.harness.forks import Fork, can_fork
from tests.harness.processes import (
    POLL_SECONDS,
    REPOSITORY,
    RunningProcess,
    clean_environ,
    ended,
    start,
    starting,
)
from tests.harness.tls import make_authority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the executable is started")

NOWHERE: Final = {
    "LATCHKEY_DATABASE_URL": "postgresql://nobody:none@127.0.0.1:9/none",
    "LATCHKEY_REDIS_URL": "redis://127.0.0.1:9/0",
    "LATCHKEY_SECRET": "s" * 32,
    "LATCHKEY_KEY_PEPPER": "p" * 32,
    "LATCHKEY_PUBLIC_URL": "http://latchkey.test",
}
"""A configuration without stores: the services serve what needs none."""
PATIENCE_SECONDS: Final = 30.0
SAME: Final = ("Umask", "SigBlk", "SigIgn", "SigCgt", "Uid", "Gid", "NoNewPrivs")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["env", "--data-dir", "/nowhere"], 1),
        (["no-command"], 2),
        (["serve", "auth-api"], 78),
    ],
)
def test_it_says_and_returns_what_the_executable_does(arguments: list[str], code: int) -> None:
    """On the stream where the executable says it."""
    forked = ended(*arguments, stdin="line\n")

    assert forked == ended(*arguments, stdin="line\n", executable=True)
    assert forked[0] == code
    assert isinstance(start("--help"), Fork)


@contextmanager
def serving(folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[tuple[RunningProcess, str]]:
    """An auth_api without stores, and its address."""
    url = f"http://127.0.0.1:{free_port()}"
    arguments = ("serve", "auth-api", "--port", url.rpartition(":")[2])
    with starting(*arguments, folder=folder, environ={**NOWHERE, **(environ or {})}) as process:
        process.wait_until(lambda: answers(url), "it answered")
        yield process, url


def answers(url: str) -> bool:
    """Whether anybody does there."""
    with suppress(OSError):
        metadata(url)
        return True
    return False


def metadata(url: str) -> tuple[str, str]:
    """The issuer that a service calls itself, and the id of the request."""
    with urllib.request.urlopen(f"{url}/.well-known/oauth-authorization-server", timeout=5) as answer:
        return json.load(answer)["issuer"], answer.headers["X-Request-ID"]


def test_each_has_its_own_environment(tmp_path: Path) -> None:
    """Nothing is left of another's, nor of what was computed while it was imported."""
    quiet = {"LATCHKEY_PUBLIC_URL": "http://quiet.test", "LATCHKEY_LOG_LEVEL": "error"}
    with serving(tmp_path / "one", quiet) as (one, url), serving(tmp_path / "two") as (two, other_url):
        issuer, request_id = metadata(url)
        other_issuer, other_id = metadata(other_url)

        assert (issuer, other_issuer) == ("http://quiet.test", "http://latchkey.test")
        assert '"listening"' not in one.output()
        assert '"listening"' in two.output()
        assert request_id[:12] != other_id[:12], "no two processes give the same ids"


async def test_it_trusts_whom_its_environment_names(tmp_path: Path) -> None:
    """Each its own, although aiohttp reads the authorities while it is imported."""
    authority, heard = make_authority(tmp_path), []

    async def note(request: web.Request) -> web.Response:
        heard.append(request.path)
        raise web.HTTPNotFound

    application = web.Application()
    application.router.add_get("/{path:.*}", note)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    walk = partial(ended, "demo", "--headless", "--url", url, "--data-dir", str(tmp_path))
    trusting = {"SSL_CERT_FILE": str(authority.certificate)}

    assert (await asyncio.to_thread(walk, environ=trusting))[0] == 1
    assert heard == ["/.well-known/oauth-authorization-server"]
    assert (await asyncio.to_thread(walk))[0] == 1
    assert len(heard) == 1
    await runner.cleanup()


@pytest.mark.parametrize(
    "arguments",
    [("serve", "auth-api", "--port", "0"), ("restore", "--verify", "-")],
    ids=lambda words: words[0],
)
def test_the_kernel_sees_the_same_process(arguments: tuple[str, ...]) -> None:
    """Signals, session, descriptors, folder: what a fork could have kept of the one that it was forked from."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as given, os.fdopen(writing, "wb"):
        fork, executable = (
            start(*arguments, environ=NOWHERE, stdin=given, executable=each) for each in (False, True)
        )
        try:
            deadline, pair = time.monotonic() + PATIENCE_SECONDS, [seen(fork.pid), seen(executable.pid)]
            while pair[0] != pair[1] and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)  # what they open comes and goes
                pair = [seen(fork.pid), seen(executable.pid)]
            assert pair[0] == pair[1]
        finally:
            for process in (fork, executable):
                process.kill()
                process.wait()


def seen(pid: int) -> dict[str, object]:
    """What the kernel says of a process, and what two of the same kind have in common."""
    home = Path(f"/proc/{pid}")
    lines = (line.split(":", 1) for line in (home / "status").read_text().splitlines())
    links = []
    for each in (home / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            links.append(str(each.readlink()))
    return {
        "status": {name: value for name, value in lines if name in SAME},
        "group, session and terminal": (home / "stat").read_text().rpartition(")")[2].split()[2:5],
        "limits": (home / "limits").read_text(),
        "folder": (home / "cwd").readlink(),
        "descriptors": Counter(re.sub(r"\d+", "", link) for link in links),
    }


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9), (signal.SIGQUIT, -3)]
)
def test_signals_reach_it(tmp_path: Path, number: int, code: int) -> None:
    """Sent to its process id by anybody; how it ended is told as of any child."""
    with serving(tmp_path) as (process, _):
        with pytest.raises(subprocess.TimeoutExpired):
            process.process.wait(0)
        os.kill(process.pid, number)

        assert process.process.wait(PATIENCE_SECONDS) == code
        assert process.process.poll() == process.process.returncode == code
        process.process.kill()  # as to an ended Popen: nothing


def test_it_can_be_stopped_for_a_while(tmp_path: Path) -> None:
    """A stopped process has not ended; it goes on where it was."""
    with serving(tmp_path) as (process, url):
        os.kill(process.pid, signal.SIGSTOP)
        assert process.process.poll() is None
        os.kill(process.pid, signal.SIGCONT)
        process.wait_until(lambda: answers(url), "it went on")


ASKING: Final = """
from tests.harness.processes import start
import sys, time
print(start("serve", "auth-api", "--port", sys.argv[1], environ={environ!r}).pid, flush=True)
time.sleep(600)
"""


def test_the_one_that_forks_ends_with_the_one_that_asks() -> None:
    """Even where that is killed; what was forked runs on, as what was started does."""
    asking = subprocess.Popen(
        [sys.executable, "-c", ASKING.format(environ=NOWHERE), str(free_port())],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
    )
    with asking:
        assert asking.stdout is not None
        fork = int(asking.stdout.readline())
        warm = os.pidfd_open(int(Path(f"/proc/{fork}/stat").read_text().rpartition(")")[2].split()[1]))
        asking.kill()

    assert select.select([warm], [], [], PATIENCE_SECONDS)[0]
    os.close(warm)
    os.kill(fork, signal.SIGKILL)  # it is there


@pytest.mark.parametrize(
    ("added", "possible"),
    [
        ({"LATCHKEY_FAILPOINTS": "name=kill", "OTEL_SERVICE_NAME": "name"}, True),
        ({"SSL_CERT_FILE": "/etc/authority.pem"}, True),
        ({"TZ": "Asia/Kathmandu"}, False),
        ({"PYTHONHASHSEED": "1"}, False),
    ],
)
def test_what_is_read_while_importing_wants_the_executable(added: dict[str, str], possible: bool) -> None:
    """A fork would not see it."""
    assert can_fork(clean_environ(added)) == possible
