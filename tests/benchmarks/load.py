"""A load generator that costs little itself: prebuilt requests over raw keep-alive connections, in its own process.

``python -m tests.benchmarks.load`` reads a plan (JSON) from stdin and writes its result (JSON) to stdout.
"""

from __future__ import annotations

import asyncio
import json
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Final, Self, cast

import uvloop

LENGTH_BYTES: Final = 4
HEAD_END: Final = b"\r\n\r\n"
LENGTH_HEADER: Final = b"content-length:"


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


class _Run:
    """What all connections share."""

    def __init__(self, requests: Iterator[bytes], deadline: float, done: asyncio.Future[None]) -> None:
        self.requests = requests
        self.deadline = deadline
        self.done = done
        self.open = 0
        self.statuses: Counter[bytes] = Counter()
        self.latencies = array("d")
        self.answers: list[bytes] | None = None

    def closed(self) -> None:
        """A connection has nothing more to send."""
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)


class _Connection(asyncio.Protocol):
    """Sends a request, waits for its whole answer, sends the next."""

    __slots__ = ("_buffer", "_finished", "_run", "_sent", "_transport")

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._sent = 0.0
        self._finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._run.open += 1

    def start(self) -> Self:
        """Sends the first request; apart from connecting, so that all start together."""
        self._next()
        return self

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        head = buffer.find(HEAD_END)
        if head < 0:
            self._buffer = buffer
            return
        at = buffer.lower().find(LENGTH_HEADER, 0, head)
        length = int(buffer[at + len(LENGTH_HEADER) : buffer.find(b"\r", at)]) if at >= 0 else 0
        end = head + len(HEAD_END) + length
        if len(buffer) < end:
            self._buffer = buffer
            return
        self._buffer = b""
        run = self._run
        run.latencies.append(perf_counter() - self._sent)
        run.statuses[buffer[9:12]] += 1
        if run.answers is not None:
            run.answers.append(buffer[end - length : end])
        self._next()

    def _next(self) -> None:
        now = perf_counter()
        request = next(self._run.requests, None) if now < self._run.deadline else None
        if request is None:
            self._finished = True
            self._transport.close()
            self._run.closed()
            return
        self._sent = now
        self._transport.write(request)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._finished and not self._run.done.done():
            self._run.done.set_exception(ConnectionError(f"the server closed a connection: {error}"))


async def run(plan: Plan) -> Result:
    """Carries out a plan."""
    loop = asyncio.get_running_loop()
    requests = read_frames(Path(plan.requests))
    source = cycle(requests) if plan.seconds else iter(requests)
    state = _Run(source, float("inf"), loop.create_future())
    state.answers = [] if plan.answers else None
    connections = [
        (await loop.create_connection(lambda: _Connection(state), "127.0.0.1", plan.port))[1]
        for _ in range(plan.connections)
    ]
    started = perf_counter()
    state.deadline = started + plan.seconds if plan.seconds else float("inf")
    for connection in connections:
        connection.start()
    await state.done
    seconds = perf_counter() - started
    if plan.answers is not None and state.answers is not None:
        write_frames(Path(plan.answers), state.answers)
    latencies = sorted(state.latencies)
    return Result(
        requests=len(latencies),
        seconds=seconds,
        statuses={status.decode(): number for status, number in state.statuses.items()},
        p50_ms=1000 * latencies[len(latencies) // 2],
        p99_ms=1000 * latencies[len(latencies) * 99 // 100],
    )


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(Plan(**json.load(sys.stdin)))))))  # noqa: T201 - the result
