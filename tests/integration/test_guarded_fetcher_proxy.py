"""What is fetched for users goes through the operator's proxy, where there is one, and through nothing else (AC-47)."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from shared.settings import Settings
from shared.web.guarded_fetcher import AddressRefusedError, FetchFailedError, GuardedFetcher
from tests.harness.outside import GOOD, INNER, OK, Outside, Receiver, outside_world
from tests.integration import test_guarded_fetcher_bounds as bounds


class Proxy:
    """An operator's egress proxy: notes what it is asked for, and leads everything to one port."""

    def __init__(self, port: int) -> None:
        self.requests: list[bytes] = []
        self.receiver = Receiver(answer=self._pass_on)
        self._port = port
        self.refusal = b""

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusal:
            await self.receiver.send(writer, self.refusal)
            return
        there, to_there = await asyncio.open_connection("127.0.0.1", self._port)
        await self.receiver.send(writer, b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(_copy(reader, to_there), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()


async def test_the_operators_proxy_is_used_and_nothing_else(outside: Outside) -> None:
    """It alone looks names up; it is told the user and password of its address, and the receiver is not."""
    proxy = Proxy(outside.port)
    port = await outside.listen(proxy.receiver)
    fetcher = outside.fetcher(outgoing_proxy=f"http://egress:p%40ss@127.0.0.1:{port}")
    url = f"https://{GOOD}:8443/hook"
    answer = await fetcher.fetch("POST", url, {}, b"{}", seconds=30, most_bytes=1_000)
    assert (answer.status, answer.body) == (200, b"hello")
    (asked,) = proxy.receiver.requests
    assert asked.startswith(f"CONNECT {GOOD}:8443 HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic ZWdyZXNzOnBAc3M=\r\n" in asked
    assert b"proxy-authorization" not in outside.receiver.requests[0].lower()
    assert not outside.names.asked


async def test_ac_47_what_the_url_tells_is_refused_before_a_proxy_too(outside: Outside) -> None:
    """Literals and inner names, odd spellings, zones; the proxy hears of none."""
    proxy = Proxy(outside.port)
    port = await outside.listen(proxy.receiver)
    fetcher = GuardedFetcher(Settings(outgoing_proxy=f"http://127.0.0.1:{port}"))
    for host in (INNER, "localhost", "redis", "169.254.169.254", "[::1]", "[::ffff:127.0.0.2]", "2130706434"):
        with pytest.raises(AddressRefusedError):
            await fetcher.fetch("GET", f"https://{host}/", {}, seconds=30, most_bytes=0)
    assert proxy.receiver.connections == 0


async def test_a_proxy_that_refuses_or_is_away_is_told_apart(outside: Outside) -> None:
    """Then it is no fault of the receiver's, and nothing goes out past the proxy."""
    proxy = Proxy(outside.port)
    port = await outside.listen(proxy.receiver)
    proxy.refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    for address in (f"127.0.0.1:{port}", "127.0.0.1:1", f"nowhere.example:{port}"):
        with pytest.raises(FetchFailedError, match="proxy"):
            await outside.fetcher(outgoing_proxy=f"http://{address}").fetch(
                "GET", outside.url, {}, seconds=30, most_bytes=0
            )
    assert outside.receiver.connections == 0


async def test_it_is_so_on_the_loop_that_the_services_run_on(tmp_path: Path) -> None:
    """The connections of uvloop are other ones than asyncio's: answers, floods and a proxy's tunnel."""

    async def story() -> None:
        async with outside_world(tmp_path) as outside:
            with pytest.MonkeyPatch.context() as patching:
                patching.setenv("SSL_CERT_FILE", str(outside.authority.file))
                await bounds.test_interim_answers_before_an_answer_are_passed_over(outside)
                await bounds.test_a_body_without_end_is_cut(outside, bounds.CHUNKED, b"1\r\nx\r\n")
                await bounds.test_a_head_without_end_is_no_answer(
                    outside, b"", b"HTTP/1.1 100 Continue\r\n\r\n"
                )
                outside.receiver.requests.clear()
                outside.names.asked.clear()
                outside.receiver.answer = OK
                await test_the_operators_proxy_is_used_and_nothing_else(outside)

    def on_uvloop() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(story())

    await asyncio.to_thread(on_uvloop)
