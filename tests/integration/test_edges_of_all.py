"""Abuse cases 23, 41 and 60 on every route of every service: headers of all answers, redirects, who may read them."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx
import pytest
from aiohttp import web

from deploy.all_in_one import create_app
from deploy.embedded.ports import free_port
from services.auth_api import routes as auth_api
from services.consent_ui import routes as consent_ui
from services.key_issuer import routes as key_issuer
from shared.settings import load_settings
from shared.web.body import SMALL_BODY
from shared.web.server import serving
from tests.harness.processes import REPOSITORY
from tests.harness.site import CALLBACK, PASSWORD, Person, Site
from tests.harness.stack import Stack
from tests.integration.consent_ui.visits import form_with, open_consent

OPEN: Final = frozenset(
    {
        "/api/v1/oauth/token",
        "/api/v1/oauth/revoke",
        "/api/v1/oauth/par",
        "/api/v1/oauth/device_authorization",
        "/.well-known/oauth-authorization-server",
        "/api/v1/openapi.json",
        "/api/v1/status",
        "/api/v1/users/me",
    }
)
"""What pages of other sites may read (interface §3); nothing else."""
CACHED: Final = frozenset(
    {"/.well-known/oauth-authorization-server", "/api/v1/openapi.json", "/developer/api"}
)
STRANGER: Final = {"Origin": "https://evil.example"}
FORM: Final = "application/x-www-form-urlencoded"


def routes() -> list[tuple[str, str]]:
    """Method and path of every public route of the product, with an id that nobody has."""
    application = web.Application()
    auth_api.add_routes(application)
    consent_ui.add_routes(application)
    key_issuer.add_routes(application)
    found = {
        (route.method, re.sub(r"\{[^}]*\}", "nobody", route.resource.canonical))
        for route in application.router.routes()
        if route.resource is not None
    }
    return sorted(found)


ROUTES: Final = routes()


def assert_guarded(answer: httpx.Response) -> None:
    """The header table of case 60, for one answer."""
    where = f"{answer.request.method} {answer.request.url.path}: {answer.status_code}"
    headers = answer.headers
    assert headers.get_list("X-Content-Type-Options") == ["nosniff"], where
    assert headers.get_list("Referrer-Policy") == ["no-referrer"], where
    assert headers.get_list("Server") == ["Latchkey"], where
    assert "X-Powered-By" not in headers, where
    assert len(headers.get_list("X-Request-ID")) == 1, where
    assert not re.search(r"Traceback|aiohttp|asyncpg|site-packages|\.py\b", answer.text), where
    kind = headers.get("Content-Type", "")
    assert kind or not answer.content, where
    if kind.startswith("text/"):
        assert "charset=utf-8" in kind, where
    _assert_origin_is_ignored(answer, where)
    _assert_kept_by_nobody(answer, where)
    if kind.startswith("text/html"):
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, where
        assert "frame-ancestors 'none'" in policy, where
        assert headers["X-Frame-Options"] == "DENY", where
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", where
    if answer.status_code == 401:
        assert headers["WWW-Authenticate"], where
    if answer.status_code == 405:
        assert headers["Allow"], where
    if answer.status_code == 503:
        assert int(headers["Retry-After"]) >= 1, where


def _assert_origin_is_ignored(answer: httpx.Response, where: str) -> None:
    allowed = ["*"] if answer.request.url.path in OPEN else []
    assert answer.headers.get_list("Access-Control-Allow-Origin") == allowed, where
    assert "Access-Control-Allow-Credentials" not in answer.headers, where


def _assert_kept_by_nobody(answer: httpx.Response, where: str) -> None:
    path = answer.request.url.path
    if not (path in CACHED and answer.status_code in (200, 304)):
        assert answer.headers["Cache-Control"] == "no-store", where
    if path.startswith("/api/v1/oauth/") and path != "/api/v1/oauth/create-code":
        assert answer.headers.get("Pragma", "no-cache") == "no-cache", where


async def ask_all(site: Site, person: Person | None, headers: Mapping[str, str], body: bytes) -> Counter[int]:
    """Every route with these headers and this body; how often each status came."""
    statuses: Counter[int] = Counter()
    cookies = {} if person is None else dict(person.http.cookies)
    async with httpx.AsyncClient(base_url=site.url, cookies=cookies, timeout=20, trust_env=False) as http:
        queue = list(ROUTES)

        async def ask() -> None:
            while queue:
                method, path = queue.pop()
                content = body if method in ("POST", "PATCH", "PUT") else None
                answer = await http.request(method, path, headers=headers, content=content)
                assert_guarded(answer)
                statuses[answer.status_code] += 1

        await asyncio.gather(*(ask() for _ in range(8)))
    return statuses


@pytest.mark.spec("RFC 9457", "5", "No problem tells how it is made: no trace, no names of ours")
async def test_ac_60_every_route_is_guarded_for_strangers(site: Site) -> None:
    """Signed out, from another site's page: 200, 303, 400, 401, 403, 404, 415, and each with the headers of the table."""
    statuses = await ask_all(site, None, {**STRANGER, "Content-Type": FORM}, b"x=y")
    assert set(statuses) >= {200, 303, 400, 401, 403}
    assert max(statuses) < 500


async def test_ac_60_every_route_is_guarded_for_the_signed_in(site: Site) -> None:
    """From our own pages and, with the same cookie, from another site's: 403 for every change."""
    person = await site.sign_up()
    own = await ask_all(site, person, {"Origin": site.origin, "Content-Type": "application/json"}, b"{}")
    foreign = await ask_all(site, person, {**STRANGER, "Content-Type": "application/json"}, b"{}")
    assert set(own) >= {200, 400, 404}
    assert foreign[403] > own[403] + 10
    assert max(own | foreign) < 500


async def test_ac_60_every_route_is_guarded_when_a_body_is_too_large(site: Site) -> None:
    """413, before anything is read."""
    person = await site.sign_up()
    headers = {"Origin": site.origin, "Content-Type": FORM}
    statuses = await ask_all(site, person, headers, b"a" * 70_000)
    assert statuses[413] >= 10
    assert max(statuses) < 500


async def test_where_keys_are_checked_no_large_json_is_read(site: Site) -> None:
    """4 KiB are the most at every path of key_issuer that takes JSON: what is read there makes checks of keys wait."""
    application = web.Application()
    key_issuer.add_routes(application)
    routes = [route for route in application.router.routes() if route.method == "POST"]
    paths = {route.resource.canonical for route in routes if route.resource is not None}
    body, headers = b"a" * (SMALL_BODY + 1), {"Content-Type": "application/json"}
    answers = {path: await site.http.post(path, content=body, headers=headers) for path in sorted(paths)}
    statuses = {path: answer.status_code for path, answer in answers.items()}
    assert statuses.pop(key_issuer.VERIFY) == 401  # reads none
    assert statuses.pop(key_issuer.INTROSPECT) == 415
    assert set(statuses.values()) == {413}, statuses


@pytest.mark.parametrize(
    "given",
    [
        {"\N{SNOWMAN}" * 80 + str(number): 0 for number in range(199)},
        dict.fromkeys(
            ("permissions", "requestedPermissions", "redirectUris", "redirect_uris"), ["nope"] * 1900
        ),
        {"name": "App", "redirectUris": [], "requestedPermissions": ["nope"] * 6000},
        {"identifier": "Key", "permissions": ["customise_score"] * 3000},
        {"clientID": "x", "permissions": [0] * 20_000},
    ],
    ids=["unknown names", "all lists", "unknown permissions", "repeated permissions", "wrong items"],
)
async def test_no_refusal_repeats_more_than_a_few_names(site: Site, given: dict[str, object]) -> None:
    """Some 60 KB of wrong names are answered with few of them, cut short, at every route."""
    person = await site.sign_up()
    body = json.dumps(given, ensure_ascii=False).encode()
    assert 40_000 < len(body) < 65_536
    for method, path in ROUTES:
        if method in ("POST", "PATCH", "PUT"):
            headers = {"Content-Type": "application/json"}
            answer = await person.http.request(method, path, headers=headers, content=body)
            assert len(answer.content) < 6_000 or "json" not in answer.headers["Content-Type"], path


async def test_ac_60_other_methods_and_paths_are_guarded_too(site: Site) -> None:
    """405 names what is allowed; 404 is the same for every path that is not there."""
    paths = {path for _, path in ROUTES}
    for path in sorted(paths):
        for method in ("PROPFIND", "TRACE", "PUT"):
            answer = await site.http.request(method, path, headers=STRANGER)
            if (method, path) not in ROUTES:
                assert answer.status_code in (404, 405), (method, path)
            assert_guarded(answer)
    for path in ("/api", "/api/v1", "/api/v1/nothing", "/nothing", "/static/nothing", "/.well-known/nothing"):
        answer = await site.http.get(path, headers=STRANGER)
        assert answer.status_code == 404
        assert_guarded(answer)


async def test_ac_60_every_route_is_guarded_while_the_stores_are_down() -> None:
    """503 with Retry-After, within four seconds, told without a word of what is behind."""
    async with _without_stores() as site:
        statuses: Counter[int] = Counter()
        cookies = {"latchkey_session": "A" * 43}
        headers = {"Origin": site.origin, "Authorization": "Bearer lku_nobody", "Content-Type": FORM}
        async with httpx.AsyncClient(base_url=site.url, cookies=cookies, trust_env=False, timeout=20) as http:

            async def ask(method: str, path: str) -> None:
                answer = await http.request(method, path, headers=headers)
                assert_guarded(answer)
                assert answer.status_code != 500, (method, path)
                assert answer.elapsed.total_seconds() < 4.5, (method, path)
                statuses[answer.status_code] += 1

            for start in range(0, len(ROUTES), 16):
                await asyncio.gather(*(ask(*route) for route in ROUTES[start : start + 16]))
        assert statuses[503] > 20


@asynccontextmanager
async def _without_stores() -> AsyncIterator[Site]:
    """All services where neither PostgreSQL nor Redis answers."""
    port = free_port()
    settings = load_settings(
        {
            "LATCHKEY_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "LATCHKEY_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
            "LATCHKEY_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/nothing",
            "LATCHKEY_SECRET": "s" * 32,
            "LATCHKEY_KEY_PEPPER": "p" * 32,
        }
    )
    async with (
        serving(create_app(settings), "127.0.0.1", port, drain_seconds=1),
        Site.at(settings.public_url, settings.origin) as site,
    ):
        yield site


async def test_cors_is_there_where_the_interface_says_and_nowhere_else(site: Site) -> None:
    """A preflight passes on the open endpoints alone; no origin is ever repeated, no credentials allowed."""
    asked = {
        **STRANGER,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,traceparent,x-requested-with",
    }
    for path in sorted({path for _, path in ROUTES} | OPEN | {f"{path}/" for path in OPEN}):
        answer = await site.http.options(path, headers=asked)
        open_here = path in OPEN
        assert answer.headers.get_list("Access-Control-Allow-Origin") == (["*"] if open_here else []), path
        assert ("Access-Control-Allow-Methods" in answer.headers) == open_here, path
        assert answer.headers.get("Access-Control-Allow-Headers") == (
            "*, Authorization" if open_here else None
        ), path
        assert (answer.status_code == 204) == open_here, path
        assert "evil" not in str(answer.headers), path
        assert "Access-Control-Allow-Credentials" not in answer.headers, path


def test_cors_of_the_proxys_own_answers_is_the_same() -> None:
    """While a service is away, a page of another site can read that of the open endpoints, and of no other."""
    proxy = (REPOSITORY / "deploy" / "Caddyfile").read_text(encoding="utf-8")
    (matched,) = re.findall(r"@open path (.+)", proxy)
    assert set(matched.split()) == OPEN
    assert re.findall(r".*Access-Control.*", proxy) == ["\t\theader @open Access-Control-Allow-Origin *"]


@pytest.mark.spec(
    "RFC 9700", "4.12", "A redirect after a form is 303, which re-posts neither password nor consent"
)
async def test_ac_23_forms_are_answered_with_303(site: Site) -> None:
    """Signing in and up, Accept and Decline: never 307 or 308."""
    author, person = await site.sign_up(), await site.sign_up()
    client = await author.create_client()
    visitor = await site.visitor()
    form = {"username": person.username, "password": PASSWORD}
    assert (await visitor.http.post("/api/v1/session", data=form)).status_code == 303
    wrong = {"username": person.username, "password": "wrong password"}
    assert (await visitor.http.post("/api/v1/session", data=wrong)).status_code == 303
    new = {"username": "somebody-new", "password": PASSWORD}
    assert (await (await site.visitor()).http.post("/api/v1/users", data=new)).status_code == 303
    for button in ("Accept", "Decline"):
        action, fields = form_with(await open_consent(person, client), button)
        answer = await person.http.post(action, data=fields)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith(CALLBACK)


async def test_ac_41_the_host_of_a_request_is_in_no_answer(stack: Stack, site: Site) -> None:
    """Neither Host nor any forwarding header reaches a link, an issuer, a cookie or a page."""
    lies = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "host=evil.example",
        "X-Original-URL": "/evil",
    }
    person = await site.sign_up()
    client = await person.create_client()
    device = {"client_id": client.client_id}
    answers = [
        await site.http.get("/.well-known/oauth-authorization-server", headers=lies),
        await site.http.get("/api/v1/openapi.json", headers=lies),
        await site.http.post("/api/v1/oauth/device_authorization", data=device, headers=lies),
        await person.http.get(f"/oauth/request-auth?clientID={client.client_id}", headers=lies),
        await person.http.get(f"/client-file-flow/{client.client_id}", headers=lies),
        await person.http.get("/developer/clients/" + client.client_id, headers=lies),
        await person.http.post(
            "/api/v1/oauth/create-code", json={"clientID": client.client_id}, headers=lies
        ),
        await site.http.get("/developer", headers=lies),
    ]
    for answer in answers:
        assert answer.status_code < 400, answer.text
        assert "evil" not in answer.text + str(answer.headers)
    assert answers[0].json()["issuer"] == stack.settings.public_url
