"""Signing in, up and out, and switching accounts, through the pages."""

from __future__ import annotations

import secrets

import httpx
import pytest
from markupsafe import escape

from tests.harness.site import PASSWORD, Client, Person, Site
from tests.integration.consent_ui.visits import form_with, open_consent, open_page, press, query_of, title_of


async def test_a_person_signs_up_and_out(site: Site) -> None:
    """The form's answer is a redirect to the start page, which knows them; afterwards it does not."""
    visitor = await site.visitor()
    page = await open_page(visitor, "/sign-up")
    name = f"anna-{secrets.token_hex(4)}"
    made = await press(visitor, page, "Create account", {"username": name, "password": PASSWORD})
    assert (made.status_code, made.headers["Location"]) == (303, "/")
    home = await open_page(visitor, "/")
    assert f"<strong>{name}</strong>" in home.text
    old = httpx.Cookies(visitor.http.cookies)
    left = await press(visitor, home, "Sign out")
    assert (left.status_code, left.headers["Location"]) == (303, "/?done=signed-out")
    assert "You are signed out." in (await open_page(visitor, "/?done=signed-out")).text
    visitor.http.cookies = old
    assert "Sign in" in (await open_page(visitor, "/")).text


async def test_a_wrong_password_is_said_in_our_words(site: Site, person: Person) -> None:
    """Back on the page: a summary that leads to the field, an alert, another title, the name; not the password."""
    visitor = await site.visitor()
    page = await open_page(visitor, "/login")
    answer = await press(
        visitor, page, "Sign in", {"username": person.username, "password": "wrong password"}
    )
    assert answer.status_code == 303
    assert person.username not in answer.headers["Location"]
    again = await open_page(visitor, answer.headers["Location"])
    assert title_of(again).startswith("Error: ")
    assert 'role="alert"' in again.text
    assert '<a href="#username">The username or the password is wrong.</a>' in again.text
    assert '<p class="wrong" id="username-wrong">' in again.text
    assert f'value="{person.username}"' in again.text
    assert "wrong password" not in again.text
    reloaded = await open_page(visitor, answer.headers["Location"])
    assert person.username not in reloaded.text, "it is shown once"
    taken = await press(
        visitor,
        await open_page(visitor, "/sign-up"),
        "Create account",
        {"username": person.username, "password": PASSWORD},
    )
    assert "This username is taken" in (await open_page(visitor, taken.headers["Location"])).text


@pytest.mark.parametrize(
    ("content", "headers", "status", "error"),
    [
        (b"username=Fine%00&password=12345678", {}, 400, "unreadable"),
        (b"username=Fine", {}, 400, "unreadable"),
        (b"x" * 70_000, {}, 413, "unreadable"),
        (b"--x--", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "unreadable"),
        (b"username=Fine&password=12345678", {"Origin": "https://evil.example"}, 403, "elsewhere"),
        (b"username=Fine&password=12345678", {"Origin": "null"}, 403, "elsewhere"),
    ],
)
@pytest.mark.parametrize("page", ["/login", "/sign-up"])
async def test_what_no_form_of_ours_sends_leads_a_browser_back(
    site: Site, page: str, content: bytes, headers: dict[str, str], status: int, error: str
) -> None:
    """The status is a program's too; a person gets a page under the strict headers that leads to the form."""
    visitor = await site.visitor()
    action = form_with(await open_page(visitor, page), "Sign in" if page == "/login" else "Create account")[0]
    form = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    told = await visitor.http.post(action, content=content, headers=form)
    assert (told.status_code, told.headers["Content-Type"]) == (status, "application/problem+json")
    shown = await visitor.http.post(
        action, content=content, headers={"Accept": "text/html,*/*;q=0.8", **form}
    )
    assert (shown.status_code, shown.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert "frame-ancestors 'none'" in shown.headers["Content-Security-Policy"]
    assert shown.headers["X-Request-ID"] in shown.text
    target = f"{page}?error={error}"
    assert f'content="0; url={site.origin}{target}"' in shown.text
    assert 'role="alert"' in (await open_page(visitor, target)).text


@pytest.mark.parametrize("typed", ["<b>&\"'", "x" * 61, "\u202egpj", "", "é" * 60])
async def test_a_typed_name_stays_text(site: Site, typed: str) -> None:
    """It comes back as it was, or not at all where no name is like it."""
    visitor = await site.visitor()
    page = await open_page(visitor, "/login")
    answer = await press(visitor, page, "Sign in", {"username": typed, "password": "wrong password"})
    again = await open_page(visitor, answer.headers["Location"])
    kept = typed if typed.isprintable() and len(typed) <= 60 else ""
    assert f'value="{escape(kept)}"' in again.text


@pytest.mark.parametrize("path", ["/login", "/sign-up"])
async def test_only_our_own_sentences_are_shown(site: Site, path: str) -> None:
    """Whatever stands in the address: an unknown error is none, an odd continuation is none (AC-36, AC-42)."""
    visitor = await site.visitor()
    evil = {
        "error": "<script>alert(1)</script>",
        "continue": "//evil.example",
        "username": "evil",
        "done": "evil",
    }
    page = await visitor.http.get(path, params=evil)
    assert page.status_code == 200
    assert "evil" not in page.text
    assert "alert" not in page.text
    assert 'name="continue"' not in page.text


async def test_fields_help_password_managers(site: Site) -> None:
    """Autocomplete as the managers expect it; pasting is nowhere forbidden (WCAG 3.3.8)."""
    visitor = await site.visitor()
    login, sign_up = await open_page(visitor, "/login"), await open_page(visitor, "/sign-up")
    assert 'autocomplete="username"' in login.text
    assert 'autocomplete="current-password"' in login.text
    assert 'autocomplete="new-password"' in sign_up.text


async def test_signing_out_needs_our_own_form(person: Person) -> None:
    """Another site cannot do it, nor a made-up token; without a session there is nothing to do."""
    _, fields = form_with(await open_page(person, "/"), "Sign out")
    foreign = await person.http.post("/logout", data=fields, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert (await person.http.post("/logout", data={"csrf": "0" * 64})).status_code == 403
    assert (await person.http.get("/logout")).status_code == 405
    assert (await person.http.get("/api/v1/session")).status_code == 200
    person.http.cookies.clear()
    assert (await person.http.post("/logout", data={"csrf": ""})).headers[
        "Location"
    ] == "/login?done=signed-out"


async def test_switching_accounts_keeps_the_request(site: Site, person: Person, client: Client) -> None:
    """Signed out, signed in as somebody else, and the same question is asked again."""
    page = await open_consent(person, client, "&state=kept%20%C3%A9")
    switched = await press(person, page, "Not you? Switch account")
    assert switched.status_code == 303
    assert (await person.http.get("/api/v1/session")).status_code == 401
    other = await site.sign_up()
    login = await open_page(person, switched.headers["Location"])
    answer = await press(person, login, "Sign in", {"username": other.username, "password": PASSWORD})
    again = await open_page(person, answer.headers["Location"])
    assert f"Signed in as <strong>{other.username}</strong>" in again.text
    accepted = await press(person, again, "Accept")
    assert query_of(accepted.headers["Location"])["state"] == "kept é"


async def test_switching_leads_only_where_we_wrote(person: Person, client: Client) -> None:
    """The token vouches for the target: no other is followed (AC-36)."""
    page = await open_consent(person, client)
    action, fields = form_with(page, "Not you? Switch account")
    for target in ("//evil.example", "https://evil.example", "/", ""):
        assert (await person.http.post(action, data={**fields, "target": target})).status_code == 403
    logout = form_with(await open_page(person, "/"), "Sign out")[1]
    assert (await person.http.post(action, data={**fields, **logout})).status_code == 403
    assert (await person.http.get("/api/v1/session")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/developer", "/developer/clients/new", "/device", "/keys/0000000000000000"]
)
async def test_signed_in_pages_send_to_sign_in(site: Site, person: Person, path: str) -> None:
    """And come back after it."""
    visitor = await site.visitor()
    asked = await visitor.http.get(path)
    assert asked.status_code == 303
    login = await open_page(visitor, asked.headers["Location"])
    answer = await press(visitor, login, "Sign in", {"username": person.username, "password": PASSWORD})
    assert answer.headers["Location"] == path


async def test_a_signed_out_change_goes_to_sign_in(site: Site) -> None:
    """What was sent is lost, and nothing was done."""
    visitor = await site.visitor()
    for path in ("/keys/0000000000000000/revoke", "/apps/x/disconnect", "/developer/clients/new"):
        answer = await visitor.http.post(path, data={"csrf": "x"})
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/login?continue=")
