"""A chat bot in the seed's style, unmodified: it knows the link with `context`, JSON, `body.token` and `users/me`."""

from __future__ import annotations

import asyncio
import os
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest
from aiohttp import web

from deploy.embedded.ports import free_port
from shared.web.server import serving
from tests.harness.people import Account, Person

BOT: Final = Path(__file__).resolve().parent / "clients" / "bot" / "bot.mjs"
START_SECONDS: Final = 30.0


@asynccontextmanager
async def running_bot(settings: Mapping[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """The bot, and somebody who talks to it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("not installed here: node")
    program = await asyncio.create_subprocess_exec(
        node, BOT, env={**os.environ, **settings}, stdout=PIPE, stderr=PIPE
    )
    assert program.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            address = (await program.stdout.readline()).decode().strip()
        if not address:
            raise AssertionError((await program.communicate())[1].decode()[-2000:])
        async with httpx.AsyncClient(base_url=address, timeout=15, trust_env=False) as chat:
            yield chat
    finally:
        if program.returncode is None:
            program.kill()
        await program.communicate()


@pytest.mark.slow
async def test_a_bot_links_an_account(latchkey: str) -> None:
    """From its link to a key that it checks; the person takes the key back, and the bot reads that in its own words."""
    port = free_port()
    callback = f"http://127.0.0.1:{port}/oauth/callback"
    async with Account(latchkey) as author, Person(latchkey) as person:
        client = await author.register(
            name="Chat bot", redirectUri=callback, requestedPermissions=["customise_score", "submit_score"]
        )
        settings = {
            "SITE": latchkey,
            "CLIENT_ID": client.client_id,
            "CLIENT_SECRET": client.client_secret or "",
            "PORT": str(port),
        }
        async with running_bot(settings) as chat:
            link = (await chat.get("/check", params={"person": "198512340000000042"})).text
            page = await person.browser.press(await person.browser.open(link), "Accept")
            assert (page.status, page.html) == (200, "Your account is linked."), page.url
            assert urlsplit(page.url).path == "/oauth/callback"

            answer = await chat.get("/check", params={"person": "198512340000000042"})
            told = answer.json()
            assert answer.status_code == 200
            assert (told["success"], told["username"]) == (True, person.username)
            assert told["userID"] == told["whoami"]
            assert sorted(told["permissions"]) == ["customise_score", "submit_score"]

            assert await person.browser.call("DELETE", f"{latchkey}/api/v1/apps/{client.client_id}") == 204
            answer = await chat.get("/check", params={"person": "198512340000000042"})
            assert answer.status_code == 401
            assert answer.json()["success"] is False
            assert answer.json()["description"]


@pytest.mark.slow
async def test_the_bot_sends_an_empty_header_where_it_has_no_token() -> None:
    """What the test above rests on: the header is there, and nothing is in it."""
    seen: list[str | None] = []

    async def status(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.json_response({"success": True})

    site = web.Application()
    site.router.add_get("/api/v1/status", status)
    port = free_port()
    settings = {"SITE": f"http://127.0.0.1:{port}", "PORT": str(free_port())}
    async with serving(site, "127.0.0.1", port, drain_seconds=1), running_bot(settings):
        pass
    assert seen == [""]
