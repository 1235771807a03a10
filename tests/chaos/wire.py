"""HTTP on the wire: prebuilt requests on one keep-alive connection, from an address of one's choice."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlencode, urlsplit

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LARGEST_HEAD: Final = 1024 * 1024

Headers = Iterable[tuple[str, str]]


def http_request(
    method: str, target: str, headers: Headers = (), body: bytes = b"", media_type: str = JSON
) -> bytes:
    """A whole request in bytes; its header names may repeat."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: localhost",
        *(f"{name}: {value}" for name, value in headers),
    ]
    if body:
        lines += [f"Content-Type: {media_type}", f"Content-Length: {len(body)}"]
    elif method not in ("GET", "DELETE"):
        lines.append("Content-Length: 0")
    return "\r\n".join([*lines, "", ""]).encode() + body


def json_request(method: str, target: str, value: object, headers: Headers = ()) -> bytes:
    """The same with a JSON body."""
    return http_request(method, target, headers, json.dumps(value).encode())


def form_request(target: str, fields: Mapping[str, str], headers: Headers = ()) -> bytes:
    """A POST of a form."""
    return http_request("POST", target, headers, urlencode(fields).encode(), FORM)


class Wire:
    """One connection, opened when it is needed and again after it was lost."""

    def __init__(self, url: str, peer: str) -> None:
        """``peer`` is the loopback address to come from: what the services count by."""
        parts = urlsplit(url)
        self._where = parts.hostname or "", parts.port or 80
        self._peer = peer
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> int:
        """The status of the answer, which is read to its end.

        Raises:
            OSError, EOFError: the connection broke before that.
        """
        try:
            return await self._send(request)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drops the connection."""
        if self._streams is not None:
            with suppress(RuntimeError):  # the loop is gone
                self._streams[1].close()
            self._streams = None

    async def _send(self, request: bytes) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                *self._where, limit=_LARGEST_HEAD, local_addr=(self._peer, 0)
            )
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is not None:
            await reader.readexactly(int(length[1]))
        if b"\r\nconnection: close" in head.lower():
            self.close()
        return int(head[9:12])
