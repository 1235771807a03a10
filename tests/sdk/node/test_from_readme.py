"""Programs that are protected from the README alone, beside a running Latchkey: who gets in, and for how long."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from deploy.embedded.ports import free_port
from shared.api_key import USER_KEY, mint_key
from tests.harness.processes import command
from tests.harness.stack import Stack
from tests.sdk.node.conftest import PACKAGE

BLOCKS: Final = re.findall(r"```js\n(.*?)```", (PACKAGE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
START_SECONDS: Final = 30.0
BOUND_SECONDS: Final = 5.0
MARGIN_SECONDS: Final = 5.0
"""For a machine that has much else to do."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]  # the first one waits for its libraries


def express_5(folder: Path) -> str:
    """The README's first program, as it stands."""
    (folder / "express5.mjs").write_text(BLOCKS[0], encoding="utf-8")
    return "express5.mjs"


def express_4(folder: Path) -> str:
    """The same with the Express before."""
    (folder / "express4.mjs").write_text(
        BLOCKS[0].replace('from "express"', 'from "express4"'), encoding="utf-8"
    )
    return "express4.mjs"


def fetch_style(folder: Path) -> str:
    """The README's fetch-style handler behind the guard of its first program."""
    guard = [line for line in BLOCKS[0].splitlines() if "Guard" in line or "guard.start" in line]
    (folder / "route.mjs").write_text("\n".join([*guard, BLOCKS[1]]), encoding="utf-8")
    return "serve-fetch.mjs"


def by_hand(folder: Path) -> str:
    """The README's last program, as a server of its own."""
    guard = [line for line in BLOCKS[0].splitlines() if "Guard" in line or "guard.start" in line]
    imported, _, tried = BLOCKS[2].partition("\n\n")
    body = tried.replace(
        '"customise_score", "submit_score");', '"customise_score");\n  answer.end(key.username);'
    )
    body = body.replace("} catch", "} catch", 1).rstrip().removesuffix("}")
    program = f"""{chr(10).join(guard)}
{imported}
import {{ createServer }} from "node:http";
createServer(async (request, answer) => {{
const token = request.headers.authorization?.slice(7);
{body}
  answer.writeHead(status, headers).end(body);
}}
}}).listen(process.env.PORT, "127.0.0.1");
"""
    (folder / "by-hand.mjs").write_text(program, encoding="utf-8")
    return "by-hand.mjs"


PROGRAMS: Final = (express_5, express_4, fetch_style, by_hand)


@dataclass(frozen=True, slots=True)
class Protected:
    """A running program, and how to call it."""

    http: httpx.AsyncClient
    process: asyncio.subprocess.Process

    async def get(self, token: str | None = None) -> httpx.Response:
        """Asks it with a key, or with none."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.http.get("/scores", headers=headers)

    async def refuses(self, token: str) -> float:
        """Asks until it refuses; after how many seconds."""
        began = time.monotonic()
        async with asyncio.timeout(60):
            while (await self.get(token)).status_code == httpx.codes.OK:
                await asyncio.sleep(0.01)
        assert (await self.get(token)).status_code == httpx.codes.UNAUTHORIZED
        return time.monotonic() - began


@asynccontextmanager
async def running(
    node: str, folder: Path, program: str, url: str, service_key: str
) -> AsyncIterator[Protected]:
    """The program, once it answers."""
    port = free_port()
    environ = {
        "LATCHKEY_URL": url,
        "LATCHKEY_SERVICE_KEY": service_key,
        "PORT": str(port),
        "PATH": os.environ["PATH"],
    }
    process = await asyncio.create_subprocess_exec(
        node, program, cwd=folder, env=environ, stdout=PIPE, stderr=STDOUT
    )
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=15, trust_env=False
        ) as http:
            async with asyncio.timeout(START_SECONDS):
                while not await answers(http) and process.returncode is None:
                    await asyncio.sleep(0.05)
            yield Protected(http, process)
    finally:
        if process.returncode is None:
            process.kill()
        said = (await process.communicate())[0].decode()
        assert "lku_" not in said
        assert "lks_" not in said


async def answers(http: httpx.AsyncClient) -> bool:
    """Whether somebody is there."""
    try:
        await http.get("/scores")
    except httpx.TransportError:
        return False
    return True


@pytest.fixture(scope="module")
def service_key(stack: Stack) -> str:
    """As the README has its reader make it."""
    environ = {"LATCHKEY_PUBLIC_URL": stack.url, **stack.stores.environment()}
    made = command("service-key", "create", "--name", "my-api", "--permission", "introspect", environ=environ)
    return made.strip()


@pytest.mark.parametrize("make", PROGRAMS)
async def test_a_program_made_from_the_readme_refuses_what_it_should(
    make: Any, node: str, installed: Path, stack: Stack, service_key: str
) -> None:
    """A missing, malformed, wrong, under-permitted, paused and revoked key; the good one gets in until then."""
    person = await stack.site.sign_up()
    good = await person.create_key("Good", ["customise_score"])
    paused = await person.create_key("Paused", ["customise_score"])
    narrow = await person.create_key("Narrow", ["submit_score"])
    program = make(installed)
    async with running(node, installed, program, stack.url, service_key) as api:
        missing = await api.get()
        assert (missing.status_code, missing.headers["WWW-Authenticate"]) == (401, 'Bearer realm="latchkey"')
        for wrong in ("nonsense", mint_key("lk", USER_KEY, stack.url).token):
            answer = await api.get(wrong)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (
                401,
                'Bearer error="invalid_token"',
            )
        answer = await api.get(narrow["token"])
        assert answer.status_code == httpx.codes.FORBIDDEN
        assert (
            answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="customise_score"'
        )

        for key in (good, paused):
            answer = await api.get(key["token"])
            assert answer.status_code == httpx.codes.OK
            assert person.username in answer.text
        changed = await person.http.patch(f"/api/v1/keys/{paused['keyID']}", json={"status": "paused"})
        assert changed.status_code == httpx.codes.OK
        assert await api.refuses(paused["token"]) < BOUND_SECONDS + MARGIN_SECONDS
        assert (await api.get(good["token"])).status_code == httpx.codes.OK
        assert (
            await person.http.delete(f"/api/v1/keys/{good['keyID']}")
        ).status_code == httpx.codes.NO_CONTENT
        assert await api.refuses(good["token"]) < BOUND_SECONDS + MARGIN_SECONDS


async def test_a_program_that_was_stopped_refuses_what_was_taken_back_meanwhile(
    node: str, installed: Path, stack: Stack, service_key: str
) -> None:
    """SIGSTOP: what waited in its sockets is from before, and its first answer is a refusal."""
    person = await stack.site.sign_up()
    key = await person.create_key("Good", ["customise_score"])
    async with running(node, installed, express_5(installed), stack.url, service_key) as api:
        assert (await api.get(key["token"])).status_code == httpx.codes.OK
        api.process.send_signal(signal.SIGSTOP)
        assert (
            await person.http.delete(f"/api/v1/keys/{key['keyID']}")
        ).status_code == httpx.codes.NO_CONTENT
        asked = asyncio.create_task(api.get(key["token"]))
        await asyncio.wait([asked], timeout=BOUND_SECONDS)
        api.process.send_signal(signal.SIGCONT)
        assert (await asked).status_code == httpx.codes.UNAUTHORIZED


async def test_a_refused_service_key_is_503_and_said_once(node: str, installed: Path, stack: Stack) -> None:
    """A key of the right form that nobody made."""
    person = await stack.site.sign_up()
    key = await person.create_key("Good", ["customise_score"])
    unknown = mint_key("lk", "s", stack.url).token
    async with running(node, installed, express_5(installed), stack.url, unknown) as api:
        for _ in range(3):
            answer = await api.get(key["token"])
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
        api.process.terminate()
        said = (await api.process.communicate())[0].decode()
    assert said.count("latchkey-sdk: the service key is not live") == 1
