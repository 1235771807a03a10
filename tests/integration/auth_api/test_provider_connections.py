"""A provider behind a private authority, and one that only a proxy reaches: both by the variables that everybody knows."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.processes import REPOSITORY
from tests.harness.tls import make_authority

ASK = """
import asyncio, json, sys
from shared.web.json_client import JsonClient, NoAnswer
async def main():
    client = JsonClient()
    try:
        status, document, _ = await client.ask("GET", sys.argv[1], {})
        print(json.dumps([status, document]))
    except NoAnswer as error:
        print(json.dumps([0, str(error)]))
    finally:
        await client.close()
asyncio.run(main())
"""
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"answer": true}'


@dataclass
class Outside:
    """A provider over TLS and a proxy, on loopback."""

    url: str
    proxy: str
    authority: Path
    tunnels: list[str]
    """Where the proxy was asked to connect."""


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    """Both, running."""
    authority = make_authority(tmp_path)
    tunnels: list[str] = []

    async def provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _ = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
        assert method == b"CONNECT"
        tunnels.append(target.decode())
        host, _, port = target.decode().partition(":")
        there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))

    provider = await asyncio.start_server(provide, "127.0.0.1", 0, ssl=authority.context)
    proxy = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (provider, proxy)]
    yield Outside(
        f"https://127.0.0.1:{ports[0]}/keys", f"http://127.0.0.1:{ports[1]}", authority.certificate, tunnels
    )
    provider.close()
    proxy.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
        writer.close()


async def ask(url: str, **variables: str) -> list[object]:
    """What a process with these variables gets there."""
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    finished = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", ASK, url],
        cwd=REPOSITORY,
        env={**environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[object] = json.loads(finished.stdout)
    return found


async def test_a_private_authority_is_believed_where_the_operator_says_so(outside: Outside) -> None:
    """By `SSL_CERT_FILE`, and by nothing else."""
    unknown = await ask(outside.url)
    known = await ask(outside.url, SSL_CERT_FILE=str(outside.authority))

    assert unknown[0] == 0
    assert known == [200, {"answer": True}]


async def test_a_proxy_is_asked_where_the_operator_has_one(outside: Outside) -> None:
    """By `HTTPS_PROXY`, unless `NO_PROXY` names the host."""
    trusting = {"SSL_CERT_FILE": str(outside.authority), "HTTPS_PROXY": outside.proxy}

    through = await ask(outside.url, **trusting)
    tunnels = list(outside.tunnels)
    past = await ask(outside.url, **trusting, NO_PROXY="127.0.0.1")

    assert through == past == [200, {"answer": True}]
    assert tunnels == outside.tunnels == [outside.url.removeprefix("https://").removesuffix("/keys")]
