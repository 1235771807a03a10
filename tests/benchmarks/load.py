"""A load generator that costs little itself: prebuilt requests over raw keep-alive connections, in its own process.

``python -m tests.benchmarks.load`` reads a plan (JSON) from stdin and writes its result (JSON) to stdout.
"""

from __future__ import annotations

import json
import select
import socket
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Final

LENGTH_BYTES: Final = 4
HEAD_END: Final = b"\r\n\r\n"
LENGTH_HEADER: Final = b"\r\nContent-Length:"
LARGEST_READ: Final = 65_536


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send. ``seconds`` > 0: the requests in a circle for so long; 0: each of them once."""

    port: int
    connections: int
    requests: str
    """A file of length-prefixed requests."""
    seconds: float
    answers: str | None = None
    """Where to keep the bodies of the answers, length-prefixed, if anywhere."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. Times are in seconds and milliseconds."""

    requests: int
    seconds: float
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


def write_frames(file: Path, frames: list[bytes]) -> None:
    """Writes length-prefixed pieces of bytes."""
    file.write_bytes(b"".join(len(frame).to_bytes(LENGTH_BYTES, "big") + frame for frame in frames))


def read_frames(file: Path) -> list[bytes]:
    """Reads length-prefixed pieces of bytes."""
    data, frames, at = file.read_bytes(), [], 0
    while at < len(data):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        frames.append(data[start:at])
    return frames


class _Load:
    """Connections that each send a request, wait for its whole answer, and send the next."""

    def __init__(self, plan: Plan) -> None:
        """Connects; nothing is sent yet."""
        requests = read_frames(Path(plan.requests))
        self._requests: Iterator[bytes] = cycle(requests) if plan.seconds else iter(requests)
        self._seconds = plan.seconds or inf
        self._keeps = plan.answers is not None
        self._poll = select.epoll()
        self._sockets = [socket.create_connection(("127.0.0.1", plan.port)) for _ in range(plan.connections)]
        self.statuses: Counter[bytes] = Counter()
        self.latencies = array("d")
        self.answers: list[bytes] = []

    def run(self) -> float:
        """Sends everything; the seconds that it took. No coroutines, no callbacks: it shares the cores with the servers."""
        for each in self._sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(each, select.EPOLLIN)
        by_descriptor = {each.fileno(): each for each in self._sockets}
        sent = dict.fromkeys(by_descriptor, 0.0)
        begun: dict[int, bytes] = {}
        started = perf_counter()
        for descriptor, each in tuple(by_descriptor.items()):
            if not self._send(descriptor, each, sent, started + self._seconds):
                del by_descriptor[descriptor]
        while by_descriptor:
            for descriptor, _ in self._poll.poll():
                each = by_descriptor[descriptor]
                received = each.recv(LARGEST_READ)
                if not received:
                    raise ConnectionError("the server closed a connection")
                answer = begun.pop(descriptor, b"") + received
                length = _body_length(answer)
                if length is None:
                    begun[descriptor] = answer
                    continue
                self.latencies.append(perf_counter() - sent[descriptor])
                self.statuses[answer[9:12]] += 1
                if self._keeps:
                    self.answers.append(answer[len(answer) - length :])
                if not self._send(descriptor, each, sent, started + self._seconds):
                    del by_descriptor[descriptor]
        return perf_counter() - started

    def _send(self, descriptor: int, each: socket.socket, sent: dict[int, float], deadline: float) -> bool:
        """Sends the next request, if there is one and time for it."""
        now = perf_counter()
        request = next(self._requests, None) if now < deadline else None
        if request is None:
            self._poll.unregister(descriptor)
            each.close()
            return False
        sent[descriptor] = now
        each.sendall(request)
        return True


def _body_length(answer: bytes) -> int | None:
    """Of an answer that is there to its end; ``None`` while more is to come."""
    head = answer.find(HEAD_END)
    if head < 0:
        return None
    at = answer.find(LENGTH_HEADER, 0, head)
    if at < 0:
        raise ValueError("an answer without Content-Length")
    begin = at + len(LENGTH_HEADER)
    length = int(answer[begin : answer.find(b"\r", begin)])
    return length if len(answer) >= head + len(HEAD_END) + length else None


def run(plan: Plan) -> Result:
    """Carries out a plan."""
    load = _Load(plan)
    seconds = load.run()
    if plan.answers is not None:
        write_frames(Path(plan.answers), load.answers)
    latencies = sorted(load.latencies)
    return Result(
        requests=len(latencies),
        seconds=seconds,
        statuses={status.decode(): number for status, number in load.statuses.items()},
        p50_ms=1000 * latencies[len(latencies) // 2],
        p99_ms=1000 * latencies[len(latencies) * 99 // 100],
    )


if __name__ == "__main__":
    print(json.dumps(asdict(run(Plan(**json.load(sys.stdin))))))  # noqa: T201 - the result
