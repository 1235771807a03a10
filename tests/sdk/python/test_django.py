"""The Django middleware in front of a real Django, in a process of its own: Django has one configuration for each."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.sdk.python.latchkey import SERVICE, PlayedLatchkey, mint, until

SITE = """
import asyncio, json, os, sys, warnings
warnings.simplefilter("error")
import django
from django.conf import settings
from django.http import JsonResponse
from django.urls import path

url, service_key, kind = sys.argv[1:]
settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", LOGGING_CONFIG=None,
    MIDDLEWARE=["latchkey_sdk.django.LatchkeyMiddleware"],
    LATCHKEY={"URL": url, "SERVICE_KEY": service_key, "PERMISSIONS": ["customise_score"]},
)
django.setup()

def told(request):
    key = request.latchkey
    return JsonResponse({"key": key.key_id, "user": key.user_id, "pid": os.getpid()})

async def told_later(request):
    return told(request)

urlpatterns = [path("", told if kind == "sync" else told_later)]

from django.test import AsyncClient, Client

def show(answer):
    headers = {name.lower(): value for name, value in answer.headers.items()}
    print(json.dumps({"status": answer.status_code, "headers": headers, "body": answer.content.decode()}), flush=True)

def ask(line):
    authorization = json.loads(line)
    headers = {} if authorization is None else {"Authorization": authorization}
    if kind == "sync":
        show(Client().get("/", headers=headers))
    else:
        # Each request in a loop of its own, as an ASGI server never has it: the guard must not care.
        show(asyncio.run(AsyncClient().get("/", headers=headers)))

def serve():
    for line in sys.stdin:
        if line.strip() == "fork":
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
        elif line.strip() == "end":
            break
        else:
            ask(line)

serve()
"""


class Site:
    """A Django that answers one request after the other."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def say(self, line: str) -> None:
        """Gives it something to do."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def call(self, authorization: str | None) -> Any:
        """The answer to a request with this header."""
        assert self.process.stdout is not None
        await self.say(json.dumps(authorization))
        async with asyncio.timeout(30):
            line = await self.process.stdout.readline()
        assert line, "Django ended"
        answer = json.loads(line)
        return answer["status"], answer["headers"], answer["body"]


@asynccontextmanager
async def django_site(latchkey: PlayedLatchkey, kind: str) -> AsyncIterator[Site]:
    """One that runs until the end of the block, and ends well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", textwrap.dedent(SITE), latchkey.url, SERVICE, kind,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)}, start_new_session=True,
    )  # fmt: skip
    try:
        yield Site(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.stderr is not None
        async with asyncio.timeout(30):
            complaints = (await process.stderr.read()).decode()
            assert not any(word in complaints for word in ("Warning", "Error", "Traceback", "destroyed"))
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # with what it forked
            await process.wait()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_django_refuses_and_accepts_as_the_others_do(latchkey: PlayedLatchkey, kind: str) -> None:
    """Synchronous and asynchronous; a key is asked about once, and its end is heard of."""
    key, narrow = latchkey.make("customise_score"), latchkey.make("delete_score")
    invalid = 'Bearer error="invalid_token"'
    async with django_site(latchkey, kind) as site:
        status, headers, body = await site.call(f"Bearer {key.token}")
        assert (status, json.loads(body)["key"]) == (200, key.key_id)
        for authorization, expected, challenge in (
            (None, 401, 'Bearer realm="latchkey"'),
            ("Basic eDp5", 401, 'Bearer realm="latchkey"'),
            ("Bearer x", 401, invalid),
            (f"Bearer {mint().token}", 401, invalid),
            (f"Bearer {key.token}, Bearer {key.token}", 401, invalid),
            (f"Bearer {narrow.token}", 403, 'Bearer error="insufficient_scope", scope="customise_score"'),
        ):
            status, headers, body = await site.call(authorization)
            assert (status, headers["www-authenticate"]) == (expected, challenge)
            assert json.loads(body)["status"] == expected
        asked = latchkey.questions.count(key.token)
        for _ in range(3):
            await site.call(f"Bearer {key.token}")
        assert latchkey.questions.count(key.token) <= asked + 1
        await until(lambda: latchkey.listeners == 1)
        latchkey.facts[key.token] = {"active": False}
        while (await site.call(f"Bearer {key.token}"))[0] == 200:
            await latchkey.invalidate(key)
        latchkey.answer = lambda: web.Response(status=503, headers={"Retry-After": "3"})
        status, headers, _ = await site.call(f"Bearer {key.token}")
        assert (status, headers["retry-after"]) == (503, "3")


async def test_a_process_that_was_forked_has_a_guard_of_its_own(latchkey: PlayedLatchkey) -> None:
    """As gunicorn's workers, also when the parent has answered requests before."""
    key = latchkey.make("customise_score")
    async with django_site(latchkey, "sync") as site:
        _, _, body = await site.call(f"Bearer {key.token}")
        parent = json.loads(body)["pid"]
        await until(lambda: latchkey.listeners == 1)
        await site.say("fork")
        _, _, body = await site.call(f"Bearer {key.token}")
        assert json.loads(body)["pid"] != parent
        await until(lambda: latchkey.listeners == 2)
        assert len(latchkey.questions) > 1  # it does not remember what its parent knew
        latchkey.facts[key.token] = {"active": False}
        while (await site.call(f"Bearer {key.token}"))[0] == 200:
            await latchkey.invalidate(key)
        await site.say("end")
        await until(lambda: latchkey.listeners == 1)
        assert (await site.call(f"Bearer {key.token}"))[0] == 401


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{}", "URL"),
        ('{"URL": "http://127.0.0.1"}', "SERVICE_KEY"),
        ('{"URL": "http://keys.example.com", "SERVICE_KEY": "x"}', "https"),
    ],
)
async def test_settings_that_cannot_be_right_are_told_at_the_start(given: str, said: str) -> None:
    """As Django tells it of its own."""
    script = f"""
        from django.conf import settings
        settings.configure(LATCHKEY={given})
        from django.core.exceptions import ImproperlyConfigured
        from latchkey_sdk.django import LatchkeyMiddleware
        try:
            LatchkeyMiddleware(print)
        except ImproperlyConfigured as error:
            print(error)
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", textwrap.dedent(script),
        stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    output, _ = await process.communicate()
    assert said in output.decode()
    assert process.returncode == 0
