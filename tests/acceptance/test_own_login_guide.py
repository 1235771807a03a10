"""The programs of docs/own-login/own-site.md, taken from the page and run as they stand."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from aiohttp import ClientSession, CookieJar

from deploy.demo_app.author_login import SiteLogin
from deploy.demo_app.browser import Browser
from deploy.embedded.ports import free_port
from tests.acceptance.documents import blocks, paste, section
from tests.harness.backends import new_folder
from tests.harness.processes import REPOSITORY, RunningProcess, command, running_up
from tests.harness.site import CALLBACK, Site

PAGE = (REPOSITORY / "docs" / "own-login" / "own-site.md").read_text(encoding="utf-8")
PORT = free_port()
PROGRAMS = {
    "Python": ("python", "login.py", (sys.executable, "login.py")),
    "Node": ("js", "login.mjs", ("node", "login.mjs")),
    "PHP": ("php", "login.php", ("php", "-S", f"127.0.0.1:{PORT}", "login.php")),
}
MOST_LINES = 50
OVERVIEW = (REPOSITORY / "docs" / "own-login.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(run_directory: Path) -> Path:
    """Of the running Latchkey."""
    return new_folder(run_directory)


@pytest.fixture(scope="module")
def latchkey(folder: Path) -> Iterator[str]:
    """A Latchkey that sends people to the port of these programs."""
    with running_up(folder, environ={"LATCHKEY_LOGIN_URL": f"http://127.0.0.1:{PORT}/login"}) as url:
        yield url


def service_key_of(page: str, folder: Path) -> str:
    """A key made as a page says."""
    printed = command("env", "--data-dir", str(folder / "data"))
    environ = dict(line.split("=", 1) for line in printed.splitlines())
    (line,) = [line for line in page.splitlines() if "./latchkey service-key create" in line]
    return command(*line.strip().strip("`").split()[1:], environ=environ).strip()


@pytest.fixture(scope="module")
def service_key(folder: Path, latchkey: str) -> str:
    """Of the site's login."""
    assert latchkey
    return service_key_of(PAGE, folder)


@contextmanager
def running(program: str, folder: Path, environ: dict[str, str]) -> Iterator[None]:
    """A program of the page."""
    language, name, arguments = PROGRAMS[program]
    if shutil.which(arguments[0]) is None:
        pytest.skip(f"no {arguments[0]} here to run the program in {program}")
    (text,) = blocks(PAGE, language)
    assert len(text.splitlines()) <= MOST_LINES
    (folder / name).write_text(text, encoding="utf-8")
    log = folder / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments, cwd=folder, env={**os.environ, **environ}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        started = RunningProcess(program, process, log)
        started.wait_until(lambda: _answers(f"http://127.0.0.1:{PORT}/login"), "it answered")
        yield
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False, timeout=10).status_code == httpx.codes.BAD_REQUEST
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_program_of_the_page_signs_people_in(
    program: str, latchkey: str, service_key: str, tmp_path: Path
) -> None:
    """From an app's link to a key that names the site's person; a wrong password stays there, an old page leads on."""
    environ = {"LATCHKEY": latchkey, "SERVICE_KEY": service_key, "PORT": str(PORT)}
    with running(program, tmp_path, environ):
        async with Site.at(latchkey) as site, Browser() as browser:
            client = await (await site.sign_up()).create_client(name="Score & Co")
            page = await browser.open(f"{latchkey}/oauth/request-auth?clientID={client.client_id}")
            page = await browser.follow(page, page.link("/login/site"))
            begun = page.url
            assert "Score &amp; Co" in page.html.replace("&#38;", "&amp;")
            page = await browser.press(page, "Sign in", {"name": "zoe", "password": "wrong"})
            assert page.url == begun
            page = await browser.press(page, "Sign in", {"name": "zoe", "password": "rhythm"})
            assert "Zoë Ünal" in page.html
            page = await browser.press(page, "Accept", stop_at=CALLBACK)
            code = parse_qs(urlsplit(page.url).query)["code"][0]
            key = (await site.exchange(client, code)).json()["access_token"]
            checked = await site.verify(key, "customise_score")
            assert checked.headers["X-Latchkey-External-User"] == "1001"
            old = await browser.open(begun)
            assert old.status == httpx.codes.BAD_REQUEST
            assert old.link("/login") == f"{latchkey}/login?error=again"


async def test_the_overview_ends_people(latchkey: str, folder: Path, service_key: str) -> None:
    """The commands under "When somebody leaves", pasted: keys are dead, and unknown ids are told."""
    login = SiteLogin(f"http://127.0.0.1:{PORT}/login", service_key, {"externalID": "4711"})
    async with Site.at(latchkey) as site, ClientSession(cookie_jar=CookieJar(unsafe=True)) as http:
        await login.sign_in(http, latchkey)
        body = {"identifier": "mine", "permissions": ["customise_score"]}
        origin = {"Origin": latchkey}
        async with http.post(f"{latchkey}/api/v1/keys", json=body, headers=origin) as made:
            key = (await made.json())["token"]
        assert (await site.verify(key)).status_code == httpx.codes.OK

        (block,) = blocks(section(OVERVIEW, "When somebody leaves"))
        made_key = service_key_of(block, folder)
        lines = f"SITE={latchkey} SERVICE_KEY={made_key}\n" + block.split("\n", 1)[1]
        (printed,) = await asyncio.to_thread(paste, [lines], folder)

        assert json.loads(printed) == {"ended": 1, "unknown": ["4712"]}
        assert (await site.verify(key)).status_code == httpx.codes.UNAUTHORIZED
