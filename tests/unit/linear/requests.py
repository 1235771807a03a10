"""Requests without a connection, for the functions that read them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, Final, TypeVar
from unittest.mock import Mock

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from services.auth_api.handlers.application import RESOURCES as AUTH_API
from services.consent_ui.resources import RESOURCES as CONSENT_UI
from shared.clock import SystemClock
from shared.settings import load_settings

AnswerT = TypeVar("AnswerT")

SECRETS: Final = (b"s" * 32, b"t" * 32)
SETTINGS: Final = load_settings(
    {
        "LATCHKEY_PUBLIC_URL": "https://keys.example",
        "LATCHKEY_SECRET": "s" * 32,
        "LATCHKEY_TRUSTED_PROXIES": "1",
    }
)


def make_request(
    method: str = "GET", target: str = "/", body: bytes | None = None, **headers: str | list[str]
) -> web.Request:
    """A request as a handler gets it; ``X_Request_ID`` is the header X-Request-ID, a list is a header sent repeatedly."""
    lines = CIMultiDict[str]()
    for name, value in headers.items():
        for each in [value] if isinstance(value, str) else value:
            lines.add(name.replace("_", "-"), each)
    given = CIMultiDictProxy(lines)
    message = RawRequestMessage(
        method, target, HttpVersion11, given, (), False, None, False, False, URL(target, encoded=True)
    )
    payload = _NOTHING if body is None else _payload(body)
    request = web.Request(message, payload, _PROTOCOL, Mock, Mock, _LOOP)  # type: ignore[arg-type]
    request._match_info = _MATCHED
    return request


def in_a_line(text: str) -> str:
    """As much of a text as the first line of a request may hold."""
    return _UNFIT.sub("", text)


def finished(work: Coroutine[Any, Any, AnswerT]) -> AnswerT:
    """What a coroutine answers that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as answer:
        result: AnswerT = answer.value
        return result
    raise AssertionError("it waits")


def _application() -> web.Application:
    application = web.Application()
    resources: Any = SimpleNamespace(settings=SETTINGS, clock=SystemClock())
    application[AUTH_API] = resources
    application[CONSENT_UI] = resources
    return application


_PROTOCOL: Final = Mock(_reading_paused=False, peername=("192.0.2.1", 1), ssl_context=None)
_LOOP: Final = asyncio.new_event_loop()
_LOOP.close()
_MATCHED: Final = Mock(current_app=_application())
_NOTHING: Final = Mock()
_UNFIT: Final = re.compile(r"[^\x21-\x7e]")


def _payload(body: bytes) -> StreamReader:
    payload = StreamReader(_PROTOCOL, 2**20, loop=_LOOP)
    payload.feed_data(body)
    payload.feed_eof()
    return payload
