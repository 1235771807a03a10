"""Decisions: only from our own page, of this person, on this request, once."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Mapping

import httpx
import pytest

from tests.harness.site import PASSWORD, Client, Person, Site
from tests.integration.consent_ui.visits import form_with, open_consent, open_page, press, query_of, title_of


async def apps_of(person: Person) -> list[str]:
    """The ids of the clients that the person has let in."""
    return [app["clientID"] for app in (await person.http.get("/api/v1/apps")).json()]


async def decide(
    person: Person,
    page: httpx.Response,
    changes: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Accept, with changed fields and headers."""
    action, fields = form_with(page, "Accept")
    return await person.http.post(action, data={**fields, **(changes or {})}, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_cannot_accept(person: Person, client: Client, headers: dict[str, str]) -> None:
    """Even with the right token: the browser says where the request was made (AC-25)."""
    answer = await decide(person, await open_consent(person, client), headers=headers)
    assert answer.status_code == 403
    assert title_of(answer) == "This page is out of date · Latchkey"
    assert await apps_of(person) == []


async def test_a_browser_that_sends_no_origin_says_it_otherwise(person: Person, client: Client) -> None:
    """`Sec-Fetch-Site: same-origin` will do; nothing at all will not."""
    page = await open_consent(person, client)
    action, fields = form_with(page, "Accept")
    del person.http.headers["Origin"]
    assert (await person.http.post(action, data=fields)).status_code == 403
    answer = await person.http.post(action, data=fields, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 303


@pytest.mark.spec("RFC 6749", "10.12", "The consent form carries a token of this session and request")
async def test_the_token_belongs_to_session_and_request(site: Site, person: Person, client: Client) -> None:
    """None, another session's, another request's: 403, and nothing is granted (AC-25)."""
    page, second = await open_consent(person, client), await open_consent(person, client)
    stranger = await site.sign_up()
    strangers = form_with(await open_consent(stranger, client), "Accept")[1]["csrf"]
    seconds = form_with(second, "Accept")[1]["csrf"]
    for token in ("", "é", strangers, seconds):
        answer = await decide(person, page, {"csrf": token})
        assert answer.status_code == 403, token
    assert await apps_of(person) == []


async def test_the_grant_follows_the_server(
    site: Site, author: Person, person: Person, client: Client
) -> None:
    """What is written into the form beside it changes nothing (AC-27)."""
    other = await author.create_client(name="Other app")
    page = await open_consent(person, client)
    lies = {
        "client_id": other.client_id,
        "redirect_uri": "https://evil.example/",
        "scope": "submit_score",
        "permissions": "submit_score",
        "state": "evil",
        "user_id": "1",
        "code": "x" * 43,
    }
    answer = await decide(person, page, lies)
    assert answer.headers["Location"].startswith("https://epicgames.example.com/tachi-auth-callback?code=")
    assert "state" not in query_of(answer.headers["Location"])
    key = (await site.exchange(client, query_of(answer.headers["Location"])["code"])).json()
    assert key["permissions"] == {"customise_score": True, "delete_score": True}


@pytest.mark.parametrize(
    "body",
    ["", "decision=accept", "request_id=a&request_id=b&csrf=c", "csrf=%ff", "csrf=%00", "a=1&" * 300],
)
async def test_a_broken_form_is_a_page(person: Person, body: str) -> None:
    """400 or 403 with a page, never a 5xx."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await person.http.post("/oauth/decide", content=body, headers=headers)
    assert answer.status_code in (400, 403)
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("media_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data; boundary=x", b"--x--", 415),
        ("application/x-www-form-urlencoded", b"a=" + b"b" * 70_000, 413),
    ],
)
async def test_other_bodies_are_refused(person: Person, media_type: str, body: bytes, status: int) -> None:
    """The same for what no form of ours sends."""
    answer = await person.http.post("/oauth/decide", content=body, headers={"Content-Type": media_type})
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_neither_button_pressed_decides_nothing(person: Person, client: Client) -> None:
    """A form without a decision, or with another word, is refused; the request stays open."""
    page = await open_consent(person, client)
    for word in ("", "yes", "create"):
        assert (await decide(person, page, {"decision": word})).status_code == 400
    assert (await press(person, page, "Accept")).status_code == 303


async def test_tabs_do_not_mix(author: Person, person: Person, client: Client) -> None:
    """Each tab grants what it shows, in any order, after going back too (AC-28)."""
    clients = [client, *[await author.create_client(name=f"App number {number}") for number in range(4)]]
    pages = [await open_consent(person, one, f"&state={index}") for index, one in enumerate(clients)]
    for index in (3, 0, 4, 1, 2):
        answer = await press(person, pages[index], "Accept")
        assert query_of(answer.headers["Location"])["state"] == str(index)
    assert set(await apps_of(person)) == {one.client_id for one in clients}


async def test_a_double_click_is_one_grant(site: Site, person: Person, client: Client) -> None:
    """Both clicks lead to the app; the last code works, the first does not, and there is one key (AC-33)."""
    page = await open_consent(person, client)
    answers = await asyncio.gather(*[press(person, page, "Accept") for _ in range(2)])
    assert [answer.status_code for answer in answers] == [303, 303]
    codes = [query_of(answer.headers["Location"])["code"] for answer in answers]
    exchanged = [(await site.exchange(client, code)).status_code for code in codes]
    assert sorted(exchanged) == [200, 400]
    later = await press(person, page, "Accept")
    assert (later.status_code, title_of(later)) == (409, "You have already answered this · Latchkey")


async def test_accept_after_decline_is_a_friendly_page(person: Person, client: Client) -> None:
    """What was declined stays declined."""
    page = await open_consent(person, client)
    assert (await press(person, page, "Decline")).status_code == 303
    late = await press(person, page, "Accept")
    assert late.status_code == 409
    assert "start again from the app" in late.text
    (again,) = re.findall(r'href="([^"]+)">Show the request again<', late.text)
    assert "It would be able to" in (await open_page(person, html.unescape(again))).text
    assert await apps_of(person) == []


async def test_another_persons_request_cannot_be_decided(site: Site, person: Person, client: Client) -> None:
    """Neither with their form, nor by switching the account between the page and the click (AC-29)."""
    other = await site.sign_up()
    action, fields = form_with(await open_consent(other, client), "Accept")
    assert (await person.http.post(action, data=fields)).status_code == 403
    page = await open_consent(person, client)
    person.http.cookies = other.http.cookies
    assert (await press(person, page, "Accept")).status_code == 403
    assert await apps_of(other) == []


@pytest.mark.parametrize("keeps_cookie", [True, False])
async def test_signed_out_meanwhile_is_asked_again(
    person: Person, client: Client, *, keeps_cookie: bool
) -> None:
    """The session ended after the page was shown: no code; sign in, and then a fresh page."""
    page = await open_consent(person, client, "&state=7")
    cookies = httpx.Cookies(person.http.cookies)
    await person.http.delete("/api/v1/session")
    person.http.cookies = cookies if keeps_cookie else httpx.Cookies()
    late = await press(person, page, "Accept")
    assert late.status_code == 303
    login = await open_page(person, late.headers["Location"])
    answer = await press(person, login, "Sign in", {"username": person.username, "password": PASSWORD})
    fresh = await open_page(person, answer.headers["Location"])
    assert await apps_of(person) == []
    assert query_of((await press(person, fresh, "Accept")).headers["Location"])["state"] == "7"


async def test_signed_in_again_in_another_tab_is_asked_again(person: Person, client: Client) -> None:
    """The form of the old session accepts nothing; its answer is the same request for the new one."""
    page = await open_consent(person, client, "&state=7")
    await person.sign_in(person.username)
    again = await press(person, page, "Accept")
    assert (again.status_code, title_of(again)) == (403, "Allow Epic Games? · Latchkey")
    assert "nothing was decided. Here is the request again." in again.text
    assert await apps_of(person) == []
    assert query_of((await press(person, again, "Accept")).headers["Location"])["state"] == "7"


@pytest.mark.parametrize("leads", ["", "https://evil.example/", "//evil.example", "/", "0" * 64 + ".Lw"])
async def test_a_stale_form_leads_only_to_requests(person: Person, client: Client, leads: str) -> None:
    """What we did not sign, or what is no request for consent, is not shown (AC-36)."""
    page = await open_consent(person, client)
    answer = await decide(person, page, {"csrf": "0", "return_to": leads})
    assert (answer.status_code, title_of(answer)) == (403, "This page is out of date · Latchkey")
    assert "evil" not in answer.text
