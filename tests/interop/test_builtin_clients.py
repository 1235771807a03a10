"""The seed's twelve built-in clients: made by the operator under their own ids, each one's whole flow played."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote_to_bytes

import httpx
import pytest

from deploy.demo_app.browser import Page
from tests.harness.people import Person
from tests.harness.processes import command
from tests.harness.site import bearer
from tests.interop.builtin_clients import TWELVE, BuiltInClient
from tests.interop.conftest import Operated

PERMISSION = "submit_score"


@pytest.fixture(scope="module")
async def person(operated: Operated) -> AsyncIterator[Person]:
    """Whoever plays."""
    async with Person(operated.url) as somebody:
        yield somebody


def register(operated: Operated, client: BuiltInClient, folder: Path) -> None:
    """What the operator types; a longer template comes from a file."""
    options = ["--id", client.client_id, "--name", client.name, "--permission", PERMISSION]
    if client.filename is not None:
        options += ["--api-key-filename", client.filename]
    template = client.template_for(operated.url)
    if template is not None and "\n" in template:
        file = folder / "template"
        file.write_bytes(template.encode())
        options += ["--api-key-format-file", str(file)]
    elif template is not None:
        options += ["--api-key-format", template]
    made = json.loads(command("clients", "create", *options, environ=operated.environ))
    assert (made["clientID"], made["redirectUri"]) == (client.client_id, None)
    assert made["apiKeyFormat"] == template


def saved(page: Page, filename: str) -> str:
    """The content of the file that the page offers, decoded as a browser saves it."""
    address = next(address for text, address in page.links if text == f"Download {filename}")
    head, _, data = address.partition(",")
    content = base64.b64decode(data) if head.endswith(";base64") else unquote_to_bytes(data)
    return content.decode()


def shown(page: Page) -> str:
    """The content of the field to copy from."""
    field = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page.html, re.DOTALL)
    assert field is not None
    return unescape(field[1])


@pytest.mark.slow
@pytest.mark.parametrize("client", TWELVE, ids=lambda client: client.client_id)
async def test_a_built_in_client_gets_its_file(
    client: BuiltInClient, operated: Operated, person: Person, tmp_path: Path
) -> None:
    """The file is the template with the key in its place, the program finds it, and it may do just what was asked."""
    register(operated, client, tmp_path)
    page = await person.browser.open(f"{operated.url}/client-file-flow/{client.client_id}")
    page = await person.browser.press(page, "Create key")
    content = shown(page) if client.filename is None else saved(page, client.filename)
    assert shown(page) == content

    key = client.read(content)
    template = client.template_for(operated.url)
    assert content == (key if template is None else template.replace("%%TACHI_KEY%%", key))
    async with httpx.AsyncClient(base_url=f"{operated.url}/api/v1", headers=bearer(key)) as program:
        checked = await program.get("/verify", params={"permission": PERMISSION})
        assert checked.status_code == 200
        assert checked.headers["X-Latchkey-Client"] == client.client_id
        assert checked.headers["X-Latchkey-Username"] == person.username
        assert checked.headers["X-Latchkey-Permissions"] == PERMISSION
        assert (await program.get("/verify", params={"permission": "delete_score"})).status_code == 403
        told = (await program.get("/status")).json()
        assert (told["success"], told["body"]["permissions"]) == (True, [PERMISSION])


def test_there_are_twelve() -> None:
    """Of every shape: JSON with an object and with a list, INI, TOML, a format of their own, and no file."""
    assert len({client.client_id for client in TWELVE}) == 12
    endings = {None if each.filename is None else each.filename.rpartition(".")[2] for each in TWELVE}
    assert endings == {"json", "ini", "toml", "cfg", None}


@pytest.mark.slow
async def test_a_template_with_the_line_ends_of_windows_stays_as_it_is(
    operated: Operated, person: Person, tmp_path: Path
) -> None:
    """The operator's file is taken byte for byte: programs on Windows may insist on their line ends."""
    template = "[hook]\r\n; yours alone\r\nkey = %%API_KEY%%\r\n"
    client = BuiltInClient("CXWindows", "A hook", "hook.ini", template, str.strip)
    register(operated, client, tmp_path)
    page = await person.browser.open(f"{operated.url}/client-file-flow/{client.client_id}")
    page = await person.browser.press(page, "Create key")
    before, _, after = template.partition("%%API_KEY%%")
    content = saved(page, "hook.ini")
    assert content.startswith(before)
    assert content.endswith(after)
