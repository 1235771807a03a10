"""A provider behind a private authority, and one that only a proxy reaches: both by the variables that everybody knows."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.processes import REPOSITORY

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


def signed_by_ourselves(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody else has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a private authority")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "authority.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    """Both, running."""
    certificate, key = signed_by_ourselves(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
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

    provider = await asyncio.start_server(provide, "127.0.0.1", 0, ssl=context)
    proxy = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (provider, proxy)]
    yield Outside(f"https://127.0.0.1:{ports[0]}/keys", f"http://127.0.0.1:{ports[1]}", certificate, tunnels)
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
