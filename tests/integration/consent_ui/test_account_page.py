"""The page of the account, and the page behind an operator's link: without scripts, as a browser sends their forms."""

from __future__ import annotations

import asyncio
import re
import secrets
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner

from deploy.cli.users import users
from tests.harness.site import PASSWORD, Person, Site
from tests.harness.stack import Stack
from tests.integration.consent_ui.test_edges import assert_guarded
from tests.integration.consent_ui.visits import form_with, forms_of, open_page, press, title_of

NEW = "another horse battery"


async def elsewhere(person: Person) -> Person:
    """The same person in another browser."""
    other = await person.site.visitor()
    other.http.headers["User-Agent"] = (
        "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    )
    assert (await other.sign_in(person.username)).status_code == 200
    return other


async def is_signed_in(person: Person) -> bool:
    """Whether the person's session lives."""
    return (await person.http.get("/api/v1/session")).status_code == 200


async def link_for(stack: Stack, person: Person) -> str:
    """Path and query of the link that the operator prints."""
    runner = CliRunner(env={**stack.stores.environment(), "LATCHKEY_PUBLIC_URL": stack.url})
    made = await asyncio.to_thread(runner.invoke, users, ["set-password", person.username], "")
    assert made.stdout.startswith(f"{stack.url}/reset-password?token="), made.output
    return made.stdout.strip().removeprefix(stack.url)


async def test_the_header_leads_to_the_account(person: Person) -> None:
    """From every page, and marked on its own; it is guarded as all pages are."""
    assert '<a href="/account">Account</a>' in (await open_page(person, "/")).text
    page = await open_page(person, "/account")
    assert '<a href="/account" aria-current="page">Account</a>' in page.text
    assert title_of(page).startswith("Account")
    assert_guarded(page)


async def test_a_password_is_changed(person: Person) -> None:
    """The page says what ends, then that it has; the others are out, this browser is not."""
    other = await elsewhere(person)
    page = await open_page(person, "/account")
    assert "Everywhere else you are signed out" in page.text
    assert 'autocomplete="current-password"' in page.text
    assert 'autocomplete="new-password"' in page.text
    answer = await press(person, page, "Change password", {"current": PASSWORD, "new": NEW})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account?done=password")
    done = await open_page(person, answer.headers["Location"])
    assert "Your password is changed. You are signed out everywhere else." in done.text
    assert [await is_signed_in(each) for each in (person, other)] == [True, False]


@pytest.mark.parametrize(
    ("current", "new", "field", "sentence"),
    [
        ("wrong password", NEW, "current", "This is not your password."),
        (PASSWORD, "short", "new", "A password has 8 to 256 characters."),
        (PASSWORD, "Password1", "new", "one of the most common passwords"),
        (PASSWORD, PASSWORD, "new", "the password that you have already"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field(
    person: Person, current: str, new: str, field: str, sentence: str
) -> None:
    """A summary that leads to the field, and the words beside it; nothing that was typed comes back."""
    page = await open_page(person, "/account")
    answer = await press(person, page, "Change password", {"current": current, "new": new})
    again = await open_page(person, answer.headers["Location"])
    assert title_of(again).startswith("Error: ")
    assert re.search(rf'<a href="#{field}">[^<]*{re.escape(sentence)}', again.text)
    assert f'id="{field}-wrong"' in again.text
    assert current not in again.text
    assert await is_signed_in(person)


async def test_sessions_are_shown_and_ended(person: Person) -> None:
    """Which is this browser, what the others are; one ends, then all others; with none left nothing is offered."""
    first, second = await elsewhere(person), await elsewhere(person)
    page = await open_page(person, "/account")
    assert page.text.count("Firefox on Linux</bdi>") == 2
    assert page.text.count("this browser</span>") == 1
    assert "From <bdi>127.0.0.*</bdi>" in page.text
    ending = [
        form for form in forms_of(page) if form.action == "/account/sessions" and "session_id" in form.fields
    ]
    assert len(ending) == 2
    answer = await person.http.post(ending[0].action, data=dict(ending[0].fields))
    assert answer.headers["Location"] == "/account?done=one-ended"
    assert sorted([await is_signed_in(first), await is_signed_in(second)]) == [False, True]
    page = await open_page(person, "/account")
    answer = await press(person, page, "End all other sessions")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account?done=ended")
    assert [await is_signed_in(each) for each in (person, first, second)] == [True, False, False]
    left = await open_page(person, answer.headers["Location"])
    assert "You are signed out everywhere else." in left.text
    assert "End all other sessions" not in left.text
    again = await person.http.post(ending[1].action, data=dict(ending[1].fields))
    assert again.headers["Location"] == "/account?done=one-ended", "what had ended is as dead"


async def test_nobody_elses_form_ends_sessions(site: Site, person: Person) -> None:
    """Neither another site's nor another session's."""
    other = await elsewhere(person)
    action, fields = form_with(await open_page(person, "/account"), "End all other sessions")
    stranger = await site.sign_up()
    assert (await stranger.http.post(action, data=fields)).status_code == 403
    foreign = await person.http.post(action, data=fields, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert (await person.http.post(action, data={"csrf": "x"})).status_code == 403
    assert await is_signed_in(other)


async def test_whoever_is_signed_out_signs_in_first(site: Site, person: Person) -> None:
    """And comes back to the account, also after a form that came too late."""
    visitor = await site.visitor()
    for answer in (
        await visitor.http.get("/account"),
        await visitor.http.post("/account/sessions", data={"csrf": "x"}),
    ):
        assert answer.headers["Location"].startswith("/login?continue=")
        login = await open_page(visitor, answer.headers["Location"])
        back = await press(visitor, login, "Sign in", {"username": person.username, "password": PASSWORD})
        assert back.headers["Location"] == "/account"
        visitor.http.cookies.clear()
    page = await open_page(person, "/account")
    person.http.cookies.clear()
    action, fields = form_with(page, "Change password")
    late = await person.http.post(
        action, data={**fields, "current": PASSWORD, "new": NEW}, headers={"Accept": "text/html"}
    )
    assert (late.status_code, late.headers["Location"]) == (303, "/account")


async def test_an_operators_link_sets_a_password(stack: Stack, site: Site, person: Person) -> None:
    """Opened as often as one likes, refused passwords included; then once, and the person signs in with it."""
    link = await link_for(stack, person)
    visitor = await site.visitor()
    assert (await visitor.http.head(link)).status_code == 200
    page = await open_page(visitor, link)
    assert_guarded(page)
    assert f"<strong>{person.username}</strong>" in page.text
    refused = await press(visitor, page, "Set password", {"new": "Password1"})
    page = await open_page(visitor, refused.headers["Location"])
    assert "one of the most common passwords" in page.text
    assert await is_signed_in(person)
    done = await press(visitor, page, "Set password", {"new": NEW})
    assert (done.status_code, done.headers["Location"]) == (303, "/login?done=password")
    assert not await is_signed_in(person)
    login = await open_page(visitor, done.headers["Location"])
    assert "Your new password is set. Sign in with it." in login.text
    answer = await press(visitor, login, "Sign in", {"username": person.username, "password": NEW})
    assert answer.headers["Location"] == "/"
    again = await press(visitor, page, "Set password", {"new": PASSWORD})
    used = await open_page(visitor, again.headers["Location"], 404)
    assert "This link leads nowhere any more" in used.text
    assert "<form" not in used.text.partition("<main")[2]


@pytest.mark.parametrize(
    "query", ["", "?token=", "?token=x", "?token=%3Cscript%3E", f"?token={'A' * 43}", "?token=%00"]
)
async def test_what_is_no_link_is_a_page_with_a_way_on(site: Site, query: str) -> None:
    """404 (or 400 for what is no text), never 5xx, and nothing of it comes back."""
    answer = await site.http.get(f"/reset-password{query}")
    assert answer.status_code in (400, 404)
    assert "script>" not in answer.text.partition("<main")[2]
    assert "href=" in answer.text


async def test_a_link_is_in_no_log_and_no_referrer(
    stack: Stack, site: Site, person: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it holds is a secret: no line repeats it, and pages of others never see where somebody came from."""
    link = await link_for(stack, person)
    token = urlsplit(link).query.partition("=")[2]
    name = secrets.token_hex(8)
    answer: httpx.Response = await site.http.get(link, headers={"X-Request-ID": name})
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert token not in capsys.readouterr().err
    assert token not in str(await stack.sql("SELECT * FROM auth.audit"))
