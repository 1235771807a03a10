"""Abuse case 59 at a service's own port: what a proxy in front would mostly keep away, by raw sockets.

All of it at auth_api, which reads bodies; the others run the same server, and are asked one thing of each kind.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.harness.backends import new_folder
from tests.harness.processes import running_services
from tests.harness.stores import Servers, fresh_stores
from tests.integration.test_wire import (
    DROPPED_SECONDS,
    answer_to,
    connected,
    served_meanwhile,
    status_of,
    statuses_of,
    until_closed,
)

SERVICE: Final = "auth-api"
PATHS: Final = {SERVICE: b"/api/v1/oauth/token", "consent-ui": b"/login", "key-issuer": b"/api/v1/verify"}
READ: Final = b"/api/v1/openapi.json"
"""What it has to give that is long."""
FORM: Final = b"Content-Type: application/x-www-form-urlencoded\r\n"
SWITCH: Final = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
)
SLOW_READERS: Final = 20


@pytest.fixture(scope="module")
async def urls(servers: Servers, run_directory: Path) -> AsyncIterator[Mapping[str, str]]:
    """Each service in a process of its own, as deployed, without a proxy in front."""
    async with fresh_stores(servers) as stores:
        with running_services(new_folder(run_directory), stores=stores.environment()) as services:
            yield services.urls


@pytest.fixture
def service() -> str:
    """Where all of it is tried."""
    return SERVICE


def head(path: bytes, *headers: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """A request head that ends its connection."""
    lines = (b"Host: x", b"Connection: close", *headers)
    return method + b" " + path + b" " + version + b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"


def assert_guarded(answer: bytes, sent: bytes) -> None:
    """The headers that every answer carries, and no word of what made it."""
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer, (sent[:200], answer[:500])
    assert b"\r\nX-Request-ID: " in answer, (sent[:200], answer[:500])
    assert b"\r\nReferrer-Policy: no-referrer\r\n" in answer, (sent[:200], answer[:500])
    assert b"\r\nServer: Latchkey\r\n" in answer, (sent[:200], answer[:500])
    assert b"aiohttp" not in answer
    assert b"Traceback" not in answer


@pytest.mark.spec("RFC 9110", "10.1.1", "An expectation that cannot be met is answered with 417")
async def test_ac_59_other_expectations_are_refused(urls: Mapping[str, str], service: str) -> None:
    """417 in our own voice, also for bytes that are no text, on any path."""
    for value in (b"200-ok", b"100-continue, x", b"\xff\xfe", b"a" * 9000, b'(),;="'):
        for path in (PATHS[service], b"/nothing"):
            sent = head(path, b"Expect: " + value)
            answer = await answer_to(urls[service], sent)
            assert statuses_of(answer) == [417], answer[:300]
            assert_guarded(answer, sent)


async def test_ac_59_100_continue_is_understood(urls: Mapping[str, str], service: str) -> None:
    """The interim answer, then the one to the request; a client that never goes on is dropped."""
    sent = head(PATHS[service], FORM.strip(), b"Content-Length: 3", b"Expect: 100-Continue", method=b"POST")
    answer = await answer_to(urls[service], sent, b"a=b")
    assert statuses_of(answer)[0] == 100
    assert len(statuses_of(answer)) == 2
    assert 400 <= statuses_of(answer)[1] < 500
    assert statuses_of(await answer_to(urls[service], sent))[0] == 100


@pytest.mark.spec("RFC 9112", "2.3", "Only HTTP/1.1 and HTTP/1.0 are spoken")
async def test_ac_59_other_versions_are_refused(urls: Mapping[str, str], service: str) -> None:
    """400 in a version that everybody reads; 1.0 without a Host is served."""
    for version in (
        b"HTTP/0.9",
        b"HTTP/2.0",
        b"HTTP/1.2",
        b"HTTP/9.9",
        b"HTTP/1.1.1",
        b"HTTP/-1.1",
        b"HTTPS/1.1",
    ):
        sent = head(PATHS[service], version=version)
        answer = await answer_to(urls[service], sent)
        assert statuses_of(answer) == [400], (version, answer[:300])
        assert_guarded(answer, sent)
    assert statuses_of(await answer_to(urls[service], b"GET " + PATHS[service] + b"\r\n\r\n")) == [400]
    answer = await answer_to(urls[service], b"GET " + PATHS[service] + b" HTTP/1.0\r\n\r\n")
    assert statuses_of(answer)[0] in (200, 401, 405)


@pytest.mark.spec("RFC 9112", "6.1", "A transfer coding that is not understood is refused")
async def test_ac_59_other_transfer_codings_are_refused(urls: Mapping[str, str], service: str) -> None:
    """Also where chunked is the last of them: a proxy might read them otherwise."""
    for coding in (
        b"gzip, chunked",
        b"x, chunked",
        b",chunked",
        b"chunked, identity",
        b"chunked;q=1",
        b"identity",
    ):
        sent = head(PATHS[service], FORM.strip(), b"Transfer-Encoding: " + coding, method=b"POST")
        answer = await answer_to(urls[service], sent + b"3\r\na=b\r\n0\r\n\r\n")
        assert statuses_of(answer) == [400], (coding, answer[:300])
        assert_guarded(answer, sent)


@pytest.mark.parametrize(
    "host", [b"xn--a", b"xn--", b"[v1.x]", b"x:abc", b"x:99999", b"u:p@x", b"", b"a" * 300]
)
async def test_ac_59_an_absolute_form_is_answered_whatever_its_host(
    urls: Mapping[str, str], service: str, host: bytes
) -> None:
    """Served by its path or refused, and the connection ends; aiohttp alone would keep it for good."""
    sent = head(b"http://" + host + PATHS[service])
    answer = await answer_to(urls[service], sent)
    assert statuses_of(answer)[0] in (200, 400, 401, 405), answer[:300]
    assert_guarded(answer, sent)


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"GZIP", b"br", b"zstd", b"compress", b"gzip, gzip"])
async def test_ac_10_a_body_that_is_not_in_its_coding_is_refused(
    urls: Mapping[str, str], service: str, coding: bytes
) -> None:
    """400 or 415, never 500, however it comes."""
    for body in (
        b"garbage",
        gzip.compress(b"a=b")[:-4],
        b"\x1f\x8b\x08\x00",
        zlib.compress(b"a=b")[:-1] + b"x",
    ):
        for kind in (b"application/x-www-form-urlencoded", b"application/json"):
            for method in (b"POST", b"GET", b"DELETE"):
                length = b"Content-Length: %d" % len(body)
                headers = (b"Content-Type: " + kind, b"Content-Encoding: " + coding, length)
                sent = head(PATHS[service], *headers, method=method)
                for pieces in ((sent + body,), (sent, body)):
                    answer = await answer_to(urls[service], *pieces)
                    assert status_of(answer) in range(200, 500), (sent, answer[:300])
                    assert_guarded(answer, sent)


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
async def test_ac_59_a_bomb_does_not_go_off(urls: Mapping[str, str], service: str, coding: bytes) -> None:
    """50 MB in 50 kB: 413 before they are there, and others do not wait."""
    pack = gzip.compress if coding == b"gzip" else zlib.compress
    bomb = await asyncio.to_thread(pack, b"a=b&" * 12_500_000)
    sent = head(
        PATHS[service],
        FORM.strip(),
        b"Content-Encoding: " + coding,
        b"Content-Length: %d" % len(bomb),
        method=b"POST",
    )
    answers = await asyncio.gather(*(answer_to(urls[service], sent, bomb) for _ in range(10)))
    assert {status_of(answer) for answer in answers} <= {400, 413}


async def test_ac_59_nothing_is_switched_tunnelled_or_echoed(urls: Mapping[str, str], service: str) -> None:
    """No 101, no tunnel, no TRACE; what follows on the connection is read as HTTP or not at all."""
    switched = head(PATHS[service], SWITCH.strip()).replace(b"Connection: close\r\n", b"")
    async with connected(urls[service]) as (reader, writer):
        writer.write(switched)
        assert status_of(await reader.readuntil(b"\r\n\r\n")) in (200, 401, 405)
    for method in (b"TRACE", b"CONNECT", b"get", b"BREW", b"PROPFIND", b"A" * 20_000, b"GE\0T", b""):
        sent = head(PATHS[service], b"Cookie: a=marked-secret", method=method)
        answer = await answer_to(urls[service], sent)
        assert status_of(answer) in (400, 404, 405), (method[:20], answer[:300])
        assert b"marked-secret" not in answer
        assert_guarded(answer, sent)
    answer = await answer_to(
        urls[service], b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert status_of(answer) in (400, 404, 405)


async def test_ac_59_odd_targets_are_never_an_error_of_ours(urls: Mapping[str, str], service: str) -> None:
    """Every answer is whole, guarded and below 500."""
    path = PATHS[service]
    targets = (
        *(
            b"*",
            b"foo",
            b"?x",
            b"/%",
            b"/%zz",
            b"/\xff",
            b"/%00",
            b"/%ff",
            b"/..%2f..%2fetc",
            b"//evil" + path,
        ),
        *(b"http:" + path, b"ftp://x" + path, b"javascript:alert(1)", b"/" + b"%f0%9f%98%80" * 100),
        *(path + b"?%ff=%00", path + b"?\xc3\xa9=1", path + b"?permission=%00", path + b"?echo=%ed%a0%80"),
        *(
            path + b"/",
            path + b";a",
            path + b"#x",
            path + b"%20",
            path + b"\x7f",
            b"/./" + path,
            b"/a/.." + path,
        ),
    )
    for target in targets:
        sent = head(target)
        answer = await answer_to(urls[service], sent)
        assert status_of(answer) in range(200, 500), (target, answer[:300])
        assert_guarded(answer, sent)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel has no limit to set")
async def test_ac_59_slow_readers_are_dropped_while_others_are_served(
    urls: Mapping[str, str], service: str
) -> None:
    """Who asks for much and takes nothing of it loses the connection, and nobody else waits."""
    url = urls[service]
    ask = b"GET " + READ + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    opened = [await _deaf(url, ask * 200) for _ in range(SLOW_READERS)]
    try:
        assert await served_meanwhile(url, "/livez") < 1
        async with asyncio.timeout(3 * DROPPED_SECONDS):
            while _peers_of(urlsplit(url).port or 0) & {each.getsockname()[1] for each in opened}:
                await asyncio.sleep(0.2)
    finally:
        for each in opened:
            each.close()


async def test_ac_59_half_a_request_and_a_farewell_end_the_connection(
    urls: Mapping[str, str], service: str
) -> None:
    """A client that ends its side in the middle is let go at once, perhaps with a refusal."""
    for sent in (
        b"",
        b"GET /",
        head(PATHS[service])[:-2],
        head(PATHS[service], b"Content-Length: 9", method=b"POST"),
    ):
        async with connected(urls[service]) as (reader, writer):
            writer.write(sent)
            writer.write_eof()
            assert status_of(await until_closed(reader, 5)) in (0, *range(400, 500))


@pytest.mark.parametrize("other", [name for name in PATHS if name != SERVICE])
async def test_ac_59_the_other_services_run_the_same_server(urls: Mapping[str, str], other: str) -> None:
    """One of each kind of the above."""
    path = PATHS[other]
    post = head(path, FORM.strip(), b"Transfer-Encoding: gzip, chunked", method=b"POST")
    for expected, sent in (
        ((417,), head(path, b"Expect: 200-ok")),
        ((400,), head(path, version=b"HTTP/2.0")),
        ((400,), post + b"3\r\na=b\r\n0\r\n\r\n"),
        ((200, 400, 401, 405), head(b"http://xn--a" + path)),
        (
            range(200, 500),
            head(path, b"Content-Encoding: gzip", b"Content-Length: 7", method=b"POST") + b"garbage",
        ),
        ((404, 405), head(path, method=b"TRACE")),
        ((400, 405), head(path, method=b"A" * 20_000)),
        (range(200, 500), head(b"/\xff")),
        (range(200, 500), head(path + b"?permission=%00")),
    ):
        answer = await answer_to(urls[other], sent)
        assert status_of(answer) in expected, (sent[:200], answer[:300])
        assert_guarded(answer, sent)
    sent = head(path, FORM.strip(), b"Content-Length: 3", b"Expect: 100-Continue", method=b"POST")
    assert statuses_of(await answer_to(urls[other], sent, b"a=b"))[0] == 100
    async with connected(urls[other]) as (reader, writer):
        writer.write(b"GET /")
        writer.write_eof()
        assert status_of(await until_closed(reader, 5)) in (0, *range(400, 500))


async def _deaf(url: str, sent: bytes) -> socket.socket:
    """A connection that sends, and takes nothing."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(deaf, (urlsplit(url).hostname, urlsplit(url).port))
    deaf.send(sent)
    return deaf


def _peers_of(port: int) -> set[int]:
    """The ports of those whose connection to ``port`` the server still holds, as the kernel tells."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:])
    ends = ((row[1], row[2], row[9]) for row in rows)
    return {
        int(peer.rpartition(":")[2], 16)
        for own, peer, inode in ends
        if int(own.rpartition(":")[2], 16) == port and inode != "0"
    }
