"""The Client File Flow: a key in a file, made once, on purpose, and shown in one answer."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import Any

import httpx
import pytest

from tests.harness.site import Client, Person, Site
from tests.integration.consent_ui.visits import form_with, open_page, press, title_of

TEMPLATE = '{\n  "url": "https://keys.example",\n  "key": "%%TACHI_KEY%%"\n}\n'


@pytest.fixture
async def hook(author: Person) -> Client:
    """A game hook that reads its key from a file."""
    return await author.create_client(
        name="Fervidex", redirectUri=None, apiKeyFormat=TEMPLATE, apiKeyFilename="fervidex.json"
    )


def content_of(answer: httpx.Response) -> str:
    """The text that the page shows to copy."""
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", answer.text, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def download_of(answer: httpx.Response) -> tuple[str, str] | None:
    """Name and content of the file in the page."""
    found = re.search(r'href="data:application/octet-stream;base64,([^"]*)" download="([^"]*)"', answer.text)
    return found and (html.unescape(found[2]), base64.b64decode(found[1]).decode())


async def keys_of(person: Person) -> list[dict[str, Any]]:
    """What the person's list of keys holds."""
    keys: list[dict[str, Any]] = (await person.http.get("/api/v1/keys")).json()
    return keys


async def test_a_person_makes_a_key_file(site: Site, person: Person, hook: Client) -> None:
    """The page says what for; Create key answers with the file in it, which works at once."""
    page = await open_page(person, f"/client-file-flow/{hook.client_id}")
    assert "fervidex.json" in page.text
    assert "Add comments to your scores" in page.text
    assert person.username in page.text
    made = await press(person, page, "Create key")
    assert (made.status_code, title_of(made)) == (200, "Your key is ready · Latchkey")
    assert made.headers["Cache-Control"] == "no-store"
    assert download_of(made) == ("fervidex.json", content_of(made))
    key = json.loads(content_of(made))["key"]
    assert content_of(made) == TEMPLATE.replace("%%TACHI_KEY%%", key)
    assert made.text.count(key) == 1
    verified = await site.verify(key, "customise_score")
    assert verified.headers["X-Latchkey-User"] == str(person.user_id)
    assert verified.headers["X-Latchkey-Client"] == hook.client_id
    assert [found["status"] for found in await keys_of(person)] == ["active"]


async def test_a_key_may_be_called_after_its_place(person: Person, hook: Client) -> None:
    """The name stands in the list beside the app's; without one the app's own stands there."""
    family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{GIRL} Tom\N{RIGHT SINGLE QUOTATION MARK}s\N{NO-BREAK SPACE}iPad"
    for typed, name in (
        (family, family),
        ("  Arcade in Leeds & <b> ", "Arcade in Leeds & <b>"),
        ("", "Fervidex"),
    ):
        page = await open_page(person, f"/client-file-flow/{hook.client_id}")
        assert (await press(person, page, "Create key", {"label": typed})).status_code == 200
        assert (await keys_of(person))[0]["identifier"] == name
    home = await open_page(person, "/")
    assert "<bdi>Arcade in Leeds &amp; &lt;b&gt;</bdi>" in home.text
    assert "for <bdi>Fervidex</bdi>" in home.text


@pytest.mark.parametrize(
    "name", ["x" * 81, "exe\u202etxt", "a\nb", "\u200b", "esc\x1b[2J", "\u2066x\u2069", "\u3164\u200b"]
)
async def test_a_name_that_hides_something_is_refused(person: Person, hook: Client, name: str) -> None:
    """A page says so, no key is made, and the request can still be answered."""
    page = await open_page(person, f"/client-file-flow/{hook.client_id}")
    refused = await press(person, page, "Create key", {"label": name})
    assert refused.status_code == 400
    assert "A name has 1 to 80 visible characters." in refused.text
    assert await keys_of(person) == []
    assert (await press(person, page, "Create key", {"label": "ok"})).status_code == 200
    assert [key["identifier"] for key in await keys_of(person)] == ["ok"]


async def test_without_a_file_name_the_key_is_shown_to_copy(
    site: Site, author: Person, person: Person
) -> None:
    """No template: the bare key; no name: no download."""
    client = await author.create_client(name="A script")
    page = await open_page(person, f"/client-file-flow/{client.client_id}")
    made = await press(person, page, "Create key")
    assert download_of(made) is None
    assert (await site.verify(content_of(made))).status_code == 200


async def test_looking_makes_no_key(person: Person, hook: Client) -> None:
    """GET, HEAD, prefetch, a range, a form without its token: no key (AC-45)."""
    path = f"/client-file-flow/{hook.client_id}"
    for headers in ({}, {"Sec-Purpose": "prefetch"}, {"Range": "bytes=0-10"}):
        assert (await person.http.get(path, headers=headers)).status_code == 200
    assert (await person.http.head(path)).status_code == 200
    _, fields = form_with(await open_page(person, path), "Create key")
    assert (await person.http.get(path, params=fields)).status_code == 200
    for refused in ({**fields, "csrf": ""}, {"decision": "create"}):
        assert (await person.http.post(path, data=refused)).status_code == 403
    foreign = await person.http.post(path, data=fields, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert await keys_of(person) == []


async def test_a_request_makes_one_key(person: Person, hook: Client) -> None:
    """Reloading the answer, going back, clicking twice: a friendly page, and still one key (AC-45)."""
    page = await open_page(person, f"/client-file-flow/{hook.client_id}")
    assert (await press(person, page, "Create key")).status_code == 200
    for button in ("Create key", "Create key", "Decline"):
        again = await press(person, page, button)
        assert (again.status_code, title_of(again)) == (409, "You have already answered this · Latchkey")
        assert "lku_" not in again.text
    assert len(await keys_of(person)) == 1


async def test_declining_makes_nothing(person: Person, hook: Client) -> None:
    """There is nowhere to go back to: a page says so. What was declined stays declined."""
    page = await open_page(person, f"/client-file-flow/{hook.client_id}")
    for _ in range(2):
        declined = await press(person, page, "Decline")
        assert (declined.status_code, title_of(declined)) == (200, "Declined · Latchkey")
    assert (await press(person, page, "Create key")).status_code == 409
    assert await keys_of(person) == []


async def test_flows_are_not_confused(person: Person, client: Client) -> None:
    """A consent request sent to the file flow, or the reverse, gives neither code nor key."""
    consent = await open_page(person, f"/oauth/request-auth?clientID={client.client_id}")
    _, fields = form_with(consent, "Accept")
    path = f"/client-file-flow/{client.client_id}"
    crossed = await person.http.post(path, data={**fields, "decision": "create"})
    assert crossed.status_code in range(400, 500)
    assert "Location" not in crossed.headers
    _, fields = form_with(await open_page(person, path), "Create key")
    crossed = await person.http.post("/oauth/decide", data={**fields, "decision": "accept"})
    assert crossed.status_code in range(400, 500)
    assert await keys_of(person) == []


@pytest.mark.parametrize("name", ["nobody", "%00", "a%ffb", "..%2f..", "x" * 3000, "%F0%9F%92%A9"])
async def test_an_unknown_client_is_a_page(person: Person, name: str) -> None:
    """Whatever is in the path (AC-48)."""
    answer = await person.http.get(f"/client-file-flow/{name}")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_a_shown_key_is_listed_at_once(person: Person, hook: Client) -> None:
    """It lives from the moment on in which the page was answered."""
    page = await open_page(person, f"/client-file-flow/{hook.client_id}")
    await press(person, page, "Create key")
    (key,) = await keys_of(person)
    assert (await open_page(person, f"/keys/{key['keyID']}")).status_code == 200
