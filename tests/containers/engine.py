"""The Docker engine of this machine, asked over its own socket: `docker ps` and its like take ten times as long.

Needs an engine on this machine and not in a virtual one, as some tests do anyway: the addresses of containers lead to
them, and /proc shows their processes.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.harness.site import NO_AUTHORITIES

_LABEL: Final = "com.docker.compose"
_HEALTH: Final = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")
_ANSWER_SECONDS: Final = 60.0
_HEAD: Final = 8
"""So many bytes stand before each piece of a log."""


@dataclass(frozen=True, slots=True)
class Container:
    """A running container of a project."""

    id: str
    service: str
    health: str
    """`healthy`, `unhealthy` or `starting`, as the engine found out; empty where it does not check."""
    addresses: Mapping[str, str]
    """By network; empty while it is being started."""


class Engine:
    """The engine that the `docker` command speaks to."""

    def __init__(self, socket: str) -> None:
        """`socket` is the path of its socket."""
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(
                uds=socket, verify=NO_AUTHORITIES, limits=httpx.Limits(max_keepalive_connections=0)
            ),
            base_url="http://docker",
            timeout=_ANSWER_SECONDS,
        )

    @classmethod
    def of_this_machine(cls) -> Engine | None:
        """It, if there is one and it answers."""
        place = _endpoint()
        if not place.startswith("unix://"):
            return None
        engine = cls(place.removeprefix("unix://"))
        try:
            return engine if engine._http.get("/_ping").status_code == httpx.codes.OK else None
        except httpx.TransportError:
            return None

    def has_image(self, name: str) -> bool:
        """Whether an image of this name is there, without looking for it elsewhere."""
        return self._http.get(f"/images/{name}/json").status_code == httpx.codes.OK

    def containers(self, project: str) -> list[Container]:
        """The running containers of a compose project, but for those of single commands."""
        labels = [f"{_LABEL}.project={project}", f"{_LABEL}.oneoff=False"]
        answer = self._http.get("/containers/json", params={"filters": json.dumps({"label": labels})})
        return [_container(one) for one in answer.raise_for_status().json()]

    def send(self, container: str, signal: str) -> None:
        """Sends a signal to a container's first process."""
        self._http.post(f"/containers/{container}/kill", params={"signal": signal}).raise_for_status()

    def wait_for_line(self, container: str, words: tuple[str, ...], since: float, seconds: float) -> str:
        """The first line of a log since a time (of `time.time()`) that has one of the words. Fails if none comes in time."""
        deadline = time.monotonic() + seconds
        too_late = f"not within {seconds} s in the log of {container}: {words}"
        try:
            with self._log(container, since, seconds) as lines:
                for line in lines:
                    if any(word in line for word in words):
                        return line
                    assert time.monotonic() < deadline, too_late
        except httpx.ReadTimeout:
            raise AssertionError(too_late) from None
        raise AssertionError(f"{container} ended before it wrote {words}")

    @contextmanager
    def _log(self, container: str, since: float, silence: float) -> Iterator[Iterator[str]]:
        """What a container writes, line by line as it comes; `silence` is for how long it may write nothing."""
        params = {"stdout": "1", "stderr": "1", "follow": "1", "since": f"{since:.9f}"}
        url = f"/containers/{container}/logs"
        with self._http.stream("GET", url, params=params, timeout=silence) as answer:
            answer.raise_for_status()
            yield _lines(answer.iter_bytes())


def _endpoint() -> str:
    """Where `docker` finds its engine; nothing without that command."""
    try:
        asked = subprocess.run(
            ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()


def _container(document: Mapping[str, Any]) -> Container:
    health = _HEALTH.search(document["Status"])
    networks = document["NetworkSettings"]["Networks"]
    return Container(
        id=document["Id"],
        service=document["Labels"][f"{_LABEL}.service"],
        health=health[1] if health else "",
        addresses={name: network["IPAddress"] for name, network in networks.items()},
    )


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    """The lines of a log that comes in frames: eight bytes, the last four of which are the length of what follows."""
    rest = b""
    for piece in pieces:
        rest += piece
        while len(rest) >= _HEAD and len(rest) >= (end := _HEAD + int.from_bytes(rest[4:_HEAD])):
            frame, rest = rest[_HEAD:end], rest[end:]
            yield from frame.decode(errors="replace").splitlines()
