"""The consent page: what it says, where Accept and Decline lead, and what becomes of a request that is wrong."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from tests.harness.site import CALLBACK, Client, Person, Site
from tests.harness.stack import Stack
from tests.integration.consent_ui.visits import (
    CONSENT_LINK,
    form_with,
    open_consent,
    open_page,
    policy_of,
    press,
    query_of,
    title_of,
)


async def test_the_page_says_who_asks_for_what(author: Person, person: Person, client: Client) -> None:
    """Name, author, homepage, who vouches; permissions in sentences; where it leads, as whom, for how long."""
    page = await open_consent(person, client)
    text = re.sub(r"<[^>]+>|\s+", " ", page.text)
    assert title_of(page) == "Allow Epic Games? · Latchkey"
    for said in (
        author.username,
        person.username,
        "epicgames.example.com",
        "registered here",
        "Unverified.",
        "Your scores beside your friends",
        "Add comments to your scores and highlight them.",
        "Permanently delete scores from your profile.",
        "cannot be undone",
        "See or change your password",
        "until you take it back",
        "Not you? Switch account",
    ):
        assert said in text, said
    assert page.text.index("Edit your scores") < page.text.index("Delete scores")
    assert "submit_score" not in page.text


async def test_the_page_counts_who_connected_the_app(
    stack: Stack, site: Site, person: Person, client: Client
) -> None:
    """Nobody, one, some, and from a thousand on no more than that: one short look into the index."""
    assert "Nobody on this site has connected it yet." in (await open_consent(person, client)).text
    await (await site.sign_up()).give_key(client)
    assert "1 person on this site has connected it." in (await open_consent(person, client)).text
    await person.give_key(client)
    page = await open_consent(person, client)
    assert "You have connected this app before. 2 people on this site have connected it." in page.text
    await stack.sql(_CROWD, client.client_id)
    assert "1,000+ people on this site have connected it." in (await open_consent(person, client)).text


_CROWD = """
WITH crowd AS (
    INSERT INTO auth.users (username, password_hash, created_on)
    SELECT 'crowd-' || n, '', 0 FROM generate_series(1, 998) AS n RETURNING user_id
)
INSERT INTO auth.grants (user_id, client_id, permissions, first_granted_on, granted_on)
SELECT user_id, $1, '{customise_score}', 0, 0 FROM crowd
"""


async def test_the_page_is_light(person: Person, client: Client) -> None:
    """One document and one stylesheet, far below 50 kB together; no script, nothing inline."""
    page = await open_consent(person, client)
    links = re.findall(r'(?:href|src)="(/static/[^"]+|data:[^"]{9})', page.text)
    assert [link for link in links if link.startswith("/static/")] == [links[0]]
    stylesheet = await person.http.get(links[0])
    assert stylesheet.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert stylesheet.headers["Content-Type"] == "text/css; charset=utf-8"
    assert len(page.content) + len(stylesheet.content) < 50_000
    assert "<script" not in page.text
    assert "style=" not in page.text


@pytest.mark.spec("RFC 6749", "4.1.2", "The page sends code and state to the registered bytes")
@pytest.mark.spec("RFC 9207", "2", "The redirect of the page names the issuer")
@pytest.mark.spec("RFC 6749", "4.1.2", "the code and the state go to the redirect URI")
@pytest.mark.spec("RFC 9207", "2", "the response names its issuer")
async def test_accept_leads_back_byte_for_byte(site: Site, author: Person, person: Person) -> None:
    """The registered bytes, then code, state, context and iss, each decoding to what was sent (AC-20)."""
    registered = "https://c.example/cb;p=1?a=%2F&b=1+2&c=%7e&e="
    client = await author.create_client(redirectUri=registered)
    state, context = "s t&u#v%20+é" + "x" * 4000, "4 2"
    page = await open_consent(person, client, f"&state={quote(state)}&context={quote(context)}")
    assert state[:12] not in page.text
    answer = await press(person, page, "Accept")
    assert answer.status_code == 303
    location = answer.headers["Location"]
    assert location.startswith(registered + "&code=")
    sent = query_of(location)
    assert (sent["state"], sent["context"], sent["iss"]) == (state, context, site.origin)
    assert re.fullmatch("[0-9A-Za-z]{43}", sent["code"])
    key = await site.exchange(client, sent["code"])
    assert key.json()["userID"] == person.user_id
    again = await open_consent(person, client)
    assert "Add comments to your scores" in again.text


@pytest.mark.spec("RFC 6749", "4.1.2.1", "Decline is access_denied, without a code")
@pytest.mark.spec("RFC 6749", "4.1.2.1", "access_denied when the person declines")
async def test_decline_leads_back_without_a_code(person: Person, client: Client) -> None:
    """The app is told, and nothing is given."""
    page = await open_consent(person, client, "&state=a%20b")
    answer = await press(person, page, "Decline")
    assert answer.status_code == 303
    assert query_of(answer.headers["Location"])["error"] == "access_denied"
    assert query_of(answer.headers["Location"])["state"] == "a b"
    assert "code" not in query_of(answer.headers["Location"])
    assert "No app has access" in (await open_page(person, "/")).text


@pytest.mark.parametrize(
    ("registered", "asked"),
    [
        (CALLBACK, CALLBACK),
        ("http://127.0.0.1/cb", "http://127.0.0.1:50123/cb"),
        ("http://[::1]/cb", "http://[::1]:50123/cb"),
        ("com.example.app:/cb", "com.example.app:/cb"),
    ],
)
async def test_only_this_page_may_lead_to_the_app(
    author: Person, person: Person, registered: str, asked: str
) -> None:
    """This page has no `form-action`, whatever hops the app's own address adds; every other page has it (AC-32)."""
    client = await author.create_client(redirectUri=registered)
    page = await open_consent(person, client, f"&redirectUri={quote(asked, safe='')}")
    policy = policy_of(page)
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "script-src": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    for path in ("/", "/login", "/device", f"/client-file-flow/{client.client_id}", "/nothing"):
        assert policy_of(await person.http.get(path))["form-action"] == "'self'", path
    assert (await press(person, page, "Accept")).headers["Location"].startswith(f"{asked}?code=")


async def test_the_standard_endpoint_shows_the_same_page(site: Site, person: Person, client: Client) -> None:
    """`/oauth/authorize` with the names of RFC 6749."""
    query = f"response_type=code&client_id={client.client_id}&redirect_uri={quote(CALLBACK, safe='')}&scope=customise_score"
    page = await open_page(person, f"/oauth/authorize?{query}&state=1")
    assert "Edit your scores" in page.text
    assert "Delete scores" not in page.text
    code = query_of((await press(person, page, "Accept")).headers["Location"])["code"]
    key = (await site.exchange(client, code, redirect_uri=CALLBACK)).json()
    assert key["permissions"] == {"customise_score": True}


@pytest.mark.spec("RFC 6749", "4.1.2.1", "An error leaves this site only to a registered redirect URI")
async def test_an_error_goes_to_the_app_only_when_it_is_known(person: Person, client: Client) -> None:
    """A wrong scope is told by redirect; with a foreign redirect URI nothing leaves this site (AC-17)."""
    link = f"/oauth/authorize?response_type=code&client_id={client.client_id}&scope=nonsense&state=1"
    told = await person.http.get(link)
    assert told.status_code == 303
    assert query_of(told.headers["Location"])["error"] == "invalid_scope"
    for foreign in ("https://evil.example/cb", CALLBACK + "/", CALLBACK + "#", "javascript:alert(1)"):
        refused = await person.http.get(f"{link}&redirect_uri={quote(foreign, safe='')}")
        assert refused.status_code == 400
        assert "Location" not in refused.headers
        assert "evil" not in refused.headers["Content-Security-Policy"]
        assert title_of(refused) == "This link does not work · Latchkey"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("clientID=nobody", 404),
        ("clientID=a&clientID=b", 400),
        ("clientID=%zz", 400),
        ("clientID=%00", 400),
        ("clientID=%ff", 400),
        ("clientID=%F0%9F%92%A9", 404),
        ("clientID=" + "%22" * 4000, 404),
        ("clientID=x&state=" + "%01" * 5000, 404),
        ("&".join(f"p{number}=1" for number in range(300)), 400),
    ],
)
async def test_a_broken_link_is_a_page(person: Person, query: str, status: int) -> None:
    """What happened, what to do, and the request's id; never a redirect, a bare text or a 5xx (AC-08, AC-21, AC-48)."""
    answer = await person.http.get(
        f"/oauth/request-auth?{query}", headers={"X-Request-ID": "walk-0123456789"}
    )
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Location" not in answer.headers
    assert "walk-0123456789" in answer.text
    assert answer.text.count('class="button"') == 1


async def test_an_interrupted_visit_goes_on_after_signing_in(
    site: Site, person: Person, client: Client
) -> None:
    """Signed out, or with a cookie that nobody knows: sign in, and the same request is there."""
    path = f"{CONSENT_LINK}{client.client_id}&state=a%2Fb"
    visitor = await site.visitor()
    visitor.http.cookies.set("latchkey_session", "A" * 43)
    interrupted = await visitor.http.get(path)
    assert interrupted.status_code == 303
    assert re.fullmatch(r"/login\?continue=[0-9A-Za-z._-]+", interrupted.headers["Location"])
    login = await open_page(visitor, interrupted.headers["Location"])
    filled = {"username": person.username, "password": "correct horse battery"}
    signed_in = await press(visitor, login, "Sign in", filled)
    assert (signed_in.status_code, signed_in.headers["Location"]) == (303, path)
    page = await open_page(visitor, path)
    answer = await press(visitor, page, "Accept")
    assert query_of(answer.headers["Location"])["state"] == "a/b"


async def test_an_interrupted_visit_survives_going_back(site: Site, person: Person, client: Client) -> None:
    """Back and sign in again, by *Sign up* of the header, and in two tabs at once: always on to the request."""
    path = f"{CONSENT_LINK}{client.client_id}&state=1"
    visitor = await site.visitor()
    login = await open_page(visitor, (await visitor.http.get(path)).headers["Location"])
    filled = {"username": person.username, "password": "correct horse battery"}
    for _ in range(2):
        assert (await press(visitor, login, "Sign in", filled)).headers["Location"] == path
    again = await visitor.http.get(login.url.raw_path.decode())
    assert (again.status_code, again.headers["Location"]) == (303, path)
    newcomer = await site.visitor()
    login = await open_page(newcomer, (await newcomer.http.get(path)).headers["Location"])
    (link,) = re.findall(r'class="link" href="(/sign-up[^"]*)">Sign up<', login.text)
    fresh = {"username": f"new-{person.user_id}", "password": "correct horse battery"}
    made = await press(newcomer, await open_page(newcomer, link), "Create account", fresh)
    assert (made.status_code, made.headers["Location"]) == (303, path)


async def test_a_link_too_long_to_be_carried_is_said(site: Site, person: Person, client: Client) -> None:
    """Signed out it is told, not lost; signed in it works."""
    path = f"{CONSENT_LINK}{client.client_id}&state={'x' * 12_000}"
    told = await (await site.visitor()).http.get(path)
    assert told.status_code == 400
    assert "too long to be kept while you sign in" in told.text
    assert (await person.http.get(path)).status_code == 200


async def test_a_lying_host_changes_nothing(person: Person, client: Client) -> None:
    """Links, issuer and policy come from the configuration (AC-41)."""
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    page = await person.http.get(f"{CONSENT_LINK}{client.client_id}", headers=headers)
    assert page.status_code == 200
    assert "evil" not in page.text + str(page.headers)
    action, fields = form_with(page, "Accept")
    answer = await person.http.post(action, data=fields, headers=headers)
    assert "evil" not in answer.headers["Location"]


async def test_looking_grants_nothing(person: Person, client: Client) -> None:
    """HEAD, prefetching, and GET where a decision belongs: no code, no grant, no key (AC-26)."""
    path = f"{CONSENT_LINK}{client.client_id}"
    assert (await person.http.head(path)).status_code == 200
    assert (await person.http.get(path, headers={"Sec-Purpose": "prefetch"})).status_code == 200
    page = await open_page(person, path)
    _, fields = form_with(page, "Accept")
    for method in ("GET", "HEAD", "PUT"):
        answer = await person.http.request(method, "/oauth/decide", params=fields)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    overridden = await person.http.get(
        "/oauth/decide", params=fields, headers={"X-HTTP-Method-Override": "POST"}
    )
    assert overridden.status_code == 405
    assert (await person.http.get("/api/v1/apps")).json() == []
