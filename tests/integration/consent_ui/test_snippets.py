"""The lines that the console shows to integrators, taken from the page and run as they stand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import os
import re
import sys

import pytest

from tests.harness.site import CALLBACK, Client, Person, Site
from tests.integration.consent_ui.visits import open_page, press, query_of

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


async def shown(author: Person, client: Client, identifier: str) -> str:
    """What a field of the client's page holds."""
    page = (await open_page(author, f"/developer/clients/{client.client_id}")).text
    found = re.search(
        rf'<textarea id="{identifier}"[^>]*>\n([^<]*)</textarea>|id="{identifier}" value="([^"]*)"', page
    )
    assert found is not None, identifier
    return html.unescape(found[1] or found[2])


async def run(*command: str, client: Client) -> str:
    """What a program prints, with the client's secret where the snippets look for it."""
    environment = {**os.environ, "CLIENT_SECRET": client.secret or "", "VERIFIER": VERIFIER, "no_proxy": "*"}
    program = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, complaint = await program.communicate()
    assert program.returncode == 0, complaint.decode()
    return printed.decode().strip()


@pytest.fixture(params=[False, True], ids=["secret", "public"])
async def asked(request: pytest.FixtureRequest, author: Person) -> Client:
    """A client of each kind."""
    return await author.create_client(public=request.param)


async def code_for(author: Person, person: Person, client: Client) -> str:
    """A code, by way of the link that the console shows."""
    link = (await shown(author, client, "consent-link")).replace("CHALLENGE", CHALLENGE)
    page = await open_page(person, link.removeprefix(person.site.origin))
    accepted = await press(person, page, "Accept")
    assert accepted.headers["Location"].startswith(CALLBACK)
    return query_of(accepted.headers["Location"])["code"]


async def test_the_lines_for_a_terminal(site: Site, author: Person, person: Person, asked: Client) -> None:
    """The link leads to a code for a public client too; curl swaps it, and the key works."""
    code = await code_for(author, person, asked)
    lines = (await shown(author, asked, "snippet-curl")).replace("code=CODE", f"code={code}")
    lines = lines.replace(site.origin, site.url).replace("curl ", "curl -sS ", 1)
    key = json.loads(await run("sh", "-c", lines, client=asked))["access_token"]
    assert (await site.verify(key)).status_code == 200


async def test_the_lines_of_python(site: Site, author: Person, person: Person, asked: Client) -> None:
    """Nothing but the standard library."""
    code = await code_for(author, person, asked)
    lines = (await shown(author, asked, "snippet-python")).replace(site.origin, site.url)
    program = f"code, verifier = {code!r}, {VERIFIER!r}\n{lines}\nprint(key)"
    key = await run(sys.executable, "-I", "-c", program, client=asked)
    assert (await site.verify(key)).status_code == 200


@pytest.mark.parametrize("language", ["curl", "python", "javascript", "go", "php"])
async def test_each_language_holds_what_it_needs(
    site: Site, author: Person, asked: Client, language: str
) -> None:
    """The own id and address; the proof of that kind of client and not the other's."""
    lines = await shown(author, asked, f"snippet-{language}")
    proof, other = "client_secret", "code_verifier"
    if asked.secret is None:
        proof, other = other, proof
    for text in (f"{site.origin}/api/v1/oauth/token", asked.client_id, "authorization_code", proof):
        assert text in lines
    assert other not in lines
