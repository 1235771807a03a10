"""The metrics of all workers of a service in one answer, whichever worker is asked; told apart by the label `worker`.

Each worker tells its own over a Unix socket in the supervisor's folder; who is asked gathers them.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

from aiohttp import web

from shared.web.health import EXPOSITION, METRICS, READINESS

_ANSWER_SECONDS: Final = 4.0
_SAMPLE: Final = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{)?", re.MULTILINE)


def share_metrics(application: web.Application, number: int, folder: Path) -> None:
    """Makes the application's ``/metrics`` answer for all workers that meet in ``folder``."""
    path = folder / f"{number}-{os.getpid()}.sock"

    async def tell(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await application[READINESS].report()
        writer.write(labelled(application[METRICS].exposition().decode(), number).encode())
        writer.write_eof()
        await writer.drain()
        writer.close()

    async def open_socket(_application: web.Application) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(tell, path)
        yield
        server.close()
        path.unlink(missing_ok=True)

    async def gather() -> bytes:
        answers = await asyncio.gather(*map(_ask, _sockets(folder)))
        return merged(answer for answer in answers if answer).encode()

    application[EXPOSITION] = gather
    application.cleanup_ctx.append(open_socket)


def _sockets(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sock"))


async def _ask(path: Path) -> str:
    """A worker's metrics; nothing if it has just ended."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return (await reader.read()).decode()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return ""


def labelled(exposition: str, number: int) -> str:
    """A text exposition with the label `worker` on each sample."""
    label = f'worker="{number}"'

    def put(match: re.Match[str]) -> str:
        return f"{match[1]}{{{label}," if match[2] else f"{match[1]}{{{label}}}"

    return _SAMPLE.sub(put, exposition)


def merged(expositions: Iterable[str]) -> str:
    """Several text expositions as one: the lines of a family stand together, as the format demands."""
    families: dict[str, list[str]] = {}
    heads: dict[str, list[str]] = {}
    for exposition in expositions:
        name = ""
        for line in exposition.splitlines():
            if line.startswith("# "):
                name = line.split(" ", 3)[2]
                head = heads.setdefault(name, [])
                if line not in head:
                    head.append(line)
            elif line:
                families.setdefault(name, []).append(line)
    lines = [line for name, head in heads.items() for line in (*head, *families.get(name, ()))]
    return "\n".join(lines) + "\n"
