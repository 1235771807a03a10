"""A person's visits to pages: opening them, and sending their forms as a browser would, with what a test changes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import httpx

from deploy.demo_app.browser import Form, parse
from tests.harness.site import Client, Person

PATIENCE_SECONDS: Final = 10.0
CONSENT_LINK: Final = "/oauth/request-auth?clientID="


def forms_of(answer: httpx.Response) -> tuple[Form, ...]:
    """The forms of a page."""
    return parse(str(answer.url), answer.status_code, answer.text, "").forms


def form_with(answer: httpx.Response, button: str) -> tuple[str, dict[str, str]]:
    """Where the form with that button goes, and its fields, the button's own among them."""
    page = parse(str(answer.url), answer.status_code, answer.text, "")
    form, pressed = page.form(button)
    fields = dict(form.fields)
    if pressed.name:
        fields[pressed.name] = pressed.value
    return form.action, fields


async def press(
    person: Person, answer: httpx.Response, button: str, values: Mapping[str, str] | None = None
) -> httpx.Response:
    """The answer to pressing a button of a page, with the given values filled in; redirects are not followed."""
    action, fields = form_with(answer, button)
    return await person.http.post(action, data={**fields, **(values or {})})


async def open_page(person: Person, path: str, status: int = 200) -> httpx.Response:
    """A page."""
    answer = await person.http.get(path)
    assert answer.status_code == status, f"{path}: {answer.status_code} {title_of(answer)}"
    return answer


async def open_until(person: Person, path: str, text: str) -> httpx.Response:
    """A page, once it says something: a key is listed when its delivery has been confirmed, a moment after it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while text not in (page := await open_page(person, path)).text:
            await asyncio.sleep(0.02)
    return page


async def open_consent(person: Person, client: Client, query: str = "") -> httpx.Response:
    """The consent page behind the seed's link."""
    return await open_page(person, f"{CONSENT_LINK}{client.client_id}{query}")


def title_of(answer: httpx.Response) -> str:
    """The title of a page."""
    found = re.search(r"<title>([^<]*)</title>", answer.text)
    return found[1] if found else ""


def query_of(location: str) -> dict[str, str]:
    """The decoded parameters of an address."""
    return dict(parse_qsl(urlsplit(location).query, keep_blank_values=True, strict_parsing=True))


def policy_of(answer: httpx.Response) -> dict[str, str]:
    """The directives of a page's Content-Security-Policy."""
    directives = (
        part.strip().partition(" ") for part in answer.headers["Content-Security-Policy"].split(";")
    )
    return {name: value for name, _, value in directives}
