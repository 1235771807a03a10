"""Errors that nobody awaits: told, unless somebody has told of them already."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest

from shared.web.server import tell_unheard


@pytest.mark.parametrize(
    ("error", "told"),
    [(socket.gaierror(-3, "Temporary failure in name resolution"), False), (ValueError("a bug"), True)],
)
async def test_a_lookup_that_was_given_up_is_no_news(
    error: Exception, *, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A store whose name does not resolve is logged as an outage, once, and not as a trace for every try."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(tell_unheard)
    try:
        loop.create_future().set_exception(error)
        gc.collect()
        assert ("never retrieved" in caplog.text) is told
    finally:
        loop.set_exception_handler(None)
