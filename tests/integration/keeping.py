"""Somebody who wants to fill Redis: for every route of the product the largest thing that it takes, each time another one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from aiohttp import web

from services.auth_api import routes as auth_api
from services.consent_ui import routes as consent_ui
from services.key_issuer import routes as key_issuer
from shared.api_key import SERVICE_KEY, USER_KEY, mint_key
from tests.harness.leak_partner import IDENTIFIER, SIGNATURE, match
from tests.harness.site import CALLBACK, PASSWORD, Client, Person, Site, bearer
from tests.harness.stack import Stack
from tests.integration.consent_ui.visits import form_with

READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LONG: Final = 3_500
"""Characters of one parameter: two of them fit into the line of a request."""
PERMISSIONS: Final = ["customise_score", "submit_score"]
CHALLENGE: Final = {
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
}


@dataclass(slots=True)
class Stranger:
    """Somebody with an account, clients and keys of their own; whatever they do, ``times`` counts it."""

    stack: Stack
    person: Person
    other: str
    """The name of another account of theirs, for signing in."""
    client: Client
    public: Client
    key: Mapping[str, Any]
    answers: list[httpx.Response] = field(default_factory=list)
    pressed: set[str] = field(default_factory=set)
    """The buttons that were on a page."""

    @property
    def site(self) -> Site:
        """Without a session."""
        return self.stack.site

    @property
    def http(self) -> httpx.AsyncClient:
        """With the session."""
        return self.person.http


async def make_stranger(stack: Stack) -> Stranger:
    """Signs up, registers and makes what the requests need."""
    other, person = await stack.site.sign_up(), await stack.site.sign_up()
    client = await person.create_client(requestedPermissions=PERMISSIONS)
    public = await person.create_client(public=True)
    key = await person.create_key("Mine", PERMISSIONS)
    return Stranger(stack, person, other.username, client, public, key)


Try = Callable[[Stranger], Awaitable[object]]


def long_text() -> str:
    """Another one each time; no compression makes it shorter."""
    return secrets.token_urlsafe(LONG)[:LONG]


def routes() -> list[tuple[str, str]]:
    """Method and path of every public route of the product."""
    application = web.Application()
    for module in (auth_api, consent_ui, key_issuer):
        module.add_routes(application)
    found = {
        (route.method, route.resource.canonical)
        for route in application.router.routes()
        if route.resource is not None
    }
    return sorted(found)


async def try_anything(stranger: Stranger, method: str, path: str) -> None:
    """What can be sent to a route without knowing it: signed out and in, in its query, its headers and its body."""
    known: dict[str, Any] = {}
    if method in READS:  # what changes something would end them
        known = {"clientID": stranger.client.client_id, "keyID": stranger.key["keyID"]}
    path = re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], "nobody"), path)
    query = f"?state={long_text()}&user_code={secrets.token_hex(4)}&continue={long_text()}"
    headers = {"User-Agent": long_text()[:2000], "X-Request-ID": long_text()[:2000]}
    browsers = (stranger.site.http, stranger.http)
    for http in browsers[:1] if method == "DELETE" else browsers:  # it would sign the stranger out
        stranger.answers.append(await http.request(method, path + query, headers=headers))
        if method not in READS:
            big = secrets.token_urlsafe(45_000)
            await http.request(method, path, headers=headers, json={"token": big, "username": big})
            await http.request(method, path, headers=headers, data={"token": big, "username": big})


async def submit(stranger: Stranger, page: str, button: str, **values: Any) -> None:
    """Opens a page and presses a button on it."""
    answer = await stranger.http.get(page)
    if answer.status_code == httpx.codes.OK:
        with suppress(LookupError):  # a key that is paused cannot be paused
            action, fields = form_with(answer, button)
            await stranger.http.post(action, data={**fields, **values})
            stranger.pressed.add(button)


def consent_link(stranger: Stranger, path: str = "/oauth/request-auth") -> str:
    """The largest link to a consent page."""
    name = "clientID" if path.endswith("request-auth") else "response_type=code&client_id"
    return f"{path}?{name}={stranger.client.client_id}&state={long_text()}&context={long_text()}"


def largest_client() -> dict[str, Any]:
    """The largest registration."""
    uris = [f"{CALLBACK}/{secrets.token_urlsafe(1400)}"[:2000] for _ in range(10)]
    return {
        "name": secrets.token_hex(40),
        "redirectUris": uris,
        "requestedPermissions": PERMISSIONS,
        "description": secrets.token_hex(500),
        "apiKeyFormat": "%%API_KEY%% " + "# \n".join(secrets.token_hex(40) for _ in range(100)),
        "homepage": f"https://example.com/{secrets.token_hex(900)}",
    }


async def sign_in(stranger: Stranger) -> None:
    """With the right password in a new browser, and with wrong ones of names that nobody or somebody has."""
    send = stranger.site.http.post
    right = {"username": stranger.other, "password": PASSWORD}
    stranger.answers.append(await send("/api/v1/session", json=right))
    for name in (stranger.other, secrets.token_hex(15)):
        await send("/api/v1/session", json={"username": name, "password": long_text()[:256]})
    stranger.site.http.cookies.clear()


async def sign_up(stranger: Stranger) -> None:
    """Another account."""
    body = {"username": secrets.token_hex(15), "password": PASSWORD}
    stranger.answers.append(await stranger.site.http.post("/api/v1/users", json=body))
    stranger.site.http.cookies.clear()


async def register(stranger: Stranger) -> None:
    """A client, whose attempts fill its list, and which is deleted again."""
    answer = await stranger.http.post("/api/v1/clients", json=largest_client())
    stranger.answers.append(answer)
    if answer.status_code == httpx.codes.CREATED:
        client_id = answer.json()["clientID"]
        wrong = {"clientID": client_id, "redirectUri": "https://example.com/" + long_text()}
        for http in (stranger.http, stranger.site.http):
            await http.get("/oauth/request-auth", params=wrong)
        await stranger.http.delete(f"/api/v1/clients/{client_id}")


async def exchange(stranger: Stranger) -> None:
    """Wrong codes of each kind, and a good one twice, with a key for retries."""
    site, client = stranger.site, stranger.client
    for grant in ("authorization_code", "urn:ietf:params:oauth:grant-type:device_code"):
        form = {"grant_type": grant, "code": long_text(), "device_code": long_text()}
        stranger.answers.append(await site.token(client, **form))
        await site.token(stranger.public, **form, client_id=stranger.public.client_id)
    made = await stranger.http.post("/api/v1/oauth/create-code", json={"clientID": client.client_id})
    if made.status_code == httpx.codes.OK:
        form = {"grant_type": "authorization_code", "code": made.json()["code"]}
        for _ in range(2):
            headers = {"Idempotency-Key": secrets.token_hex(127)}
            await site.http.post("/api/v1/oauth/token", data=form, auth=client.basic, headers=headers)


async def push(stranger: Stranger) -> None:
    """The largest pushed request, opened by a browser."""
    form = {"response_type": "code", "state": long_text()[:3200]}
    answer = await stranger.site.http.post("/api/v1/oauth/par", data=form, auth=stranger.client.basic)
    stranger.answers.append(answer)
    if answer.status_code == httpx.codes.CREATED:
        query = {"client_id": stranger.client.client_id, "request_uri": answer.json()["request_uri"]}
        await stranger.http.get("/oauth/authorize", params=query)


async def start_device(stranger: Stranger) -> None:
    """A device's codes, looked at and polled."""
    form = {"client_id": stranger.public.client_id, "scope": "customise_score"}
    answer = await stranger.site.http.post("/api/v1/oauth/device_authorization", data=form)
    stranger.answers.append(answer)
    if answer.status_code == httpx.codes.OK:
        given = answer.json()
        await stranger.http.get("/device", params={"user_code": given["user_code"]})
        grant = "urn:ietf:params:oauth:grant-type:device_code"
        await stranger.site.token(
            None, grant_type=grant, device_code=given["device_code"], client_id=stranger.public.client_id
        )


async def decide(stranger: Stranger) -> None:
    """Accept, again and again, on the largest page."""
    page = await stranger.http.get(consent_link(stranger))
    stranger.answers.append(page)
    if page.status_code == httpx.codes.OK:
        action, fields = form_with(page, "Accept")
        for _ in range(3):
            await stranger.http.post(action, data=fields)
        await stranger.http.post(action, data={**fields, "decision": "decline"})


async def make_keys(stranger: Stranger) -> None:
    """Keys of one's own and of a client, each taken back at once."""
    for body in (
        {"identifier": secrets.token_hex(40), "permissions": PERMISSIONS},
        {"clientID": stranger.client.client_id},
    ):
        answer = await stranger.http.post("/api/v1/keys", json=body)
        stranger.answers.append(answer)
        if answer.status_code == httpx.codes.CREATED:
            await stranger.http.delete(f"/api/v1/keys/{answer.json()['keyID']}")


async def change_key(stranger: Stranger) -> None:
    """A new name, and off and on again."""
    path = f"/api/v1/keys/{stranger.key['keyID']}"
    for change in ({"identifier": secrets.token_hex(40)}, {"status": "paused"}, {"status": "active"}):
        stranger.answers.append(await stranger.http.patch(path, json=change))


async def rotate_key(stranger: Stranger) -> None:
    """A rotation that is not retried."""
    path = f"/api/v1/keys/{stranger.key['keyID']}/rotate"
    headers = {"Idempotency-Key": secrets.token_hex(127)}
    answer = await stranger.http.post(path, json={"overlapSeconds": 0}, headers=headers)
    if answer.status_code == httpx.codes.OK:
        stranger.key = answer.json()


async def present(stranger: Stranger) -> None:
    """Keys that nobody has made, wherever keys are taken."""
    settings, http = stranger.stack.settings, stranger.site.http
    token = mint_key(settings.key_prefix, USER_KEY, settings.public_url).token
    await http.post("/api/v1/keys/report-leak", json={"token": token})
    signed = {IDENTIFIER: secrets.token_hex(200), SIGNATURE: secrets.token_hex(40)}
    await http.post("/api/v1/keys/report-leak", json=[match(token)], headers=signed)
    await http.post("/api/v1/oauth/revoke", data={"token": token}, auth=stranger.client.basic)
    await http.post("/api/v1/oauth/introspect", data={"token": token}, auth=stranger.client.basic)
    await http.post("/api/v1/oauth/introspect", data={"token": token}, auth=(long_text(), token))
    service = mint_key(settings.key_prefix, SERVICE_KEY, settings.public_url).token
    people = {"externalIDs": [long_text()]}
    await http.post("/api/v1/external-users/end", json=people, headers=bearer(service))
    await http.delete(f"/api/v1/external-users/{secrets.token_hex(100)}", headers=bearer(service))
    await http.put(
        f"/api/v1/login-requests/{secrets.token_hex(200)}",
        json={"externalID": secrets.token_hex(100)},
        headers=bearer(service),
    )
    for path in ("/api/v1/status", "/api/v1/users/me", "/api/v1/verify"):
        await http.get(path, params={"echo": long_text()}, headers=bearer(token))


async def change_password(stranger: Stranger) -> None:
    """With a wrong password, and by a link that nobody has given out."""
    wrong = {"current": secrets.token_urlsafe(190), "new": secrets.token_urlsafe(190)}
    await stranger.http.post("/api/v1/account/password", json=wrong)
    made_up = {"token": secrets.token_hex(32), "new": secrets.token_urlsafe(190)}
    await stranger.site.http.post("/api/v1/account/password-reset", json=made_up)


async def disconnect(stranger: Stranger) -> None:
    """Taking back what is not held."""
    await stranger.http.delete(f"/api/v1/apps/{stranger.client.client_id}")


async def sign_out(stranger: Stranger) -> None:
    """A session that nobody has."""
    cookie = {"Cookie": f"latchkey_session={secrets.token_hex(21)}a"}
    await stranger.site.http.delete("/api/v1/session", headers=cookie | {"Origin": stranger.site.origin})


BUTTONS: Final[set[str]] = set()
"""Those that are to be pressed."""


def on_page(page: str, button: str, **values: Any) -> Try:
    """Pressing a button of a page, which may name the stranger's client or key."""
    BUTTONS.add(button)

    async def attempt(stranger: Stranger) -> None:
        at = page.format(clientID=stranger.client.client_id, keyID=stranger.key["keyID"])
        await submit(stranger, at, button, **values)

    return attempt


def opening(path: str) -> Try:
    """The largest link to a consent page."""

    async def attempt(stranger: Stranger) -> None:
        for http in (stranger.http, stranger.site.http):
            await http.get(consent_link(stranger, path))

    return attempt


def at_client(method: str, ending: str = "") -> Try:
    """The largest body about a client of one's own."""

    async def attempt(stranger: Stranger) -> None:
        body = {"overlapSeconds": 0} if ending else {"description": secrets.token_hex(500)}
        path = f"/api/v1/clients/{stranger.client.client_id}{ending}"
        headers = {"Idempotency-Key": secrets.token_hex(127)}
        answer = await stranger.http.request(method, path, json=body, headers=headers)
        if ending and "clientSecret" in answer.text:
            stranger.client = Client(answer.json())

    return attempt


async def nothing_more(_stranger: Stranger) -> None:
    """What can be sent without knowing the route says it all."""


CLIENT: Final = "/developer/clients/{clientID}"
TRIES: Final[Mapping[tuple[str, str], Try]] = {
    ("POST", "/api/v1/users"): sign_up,
    ("POST", "/api/v1/session"): sign_in,
    ("DELETE", "/api/v1/session"): sign_out,
    ("POST", "/api/v1/clients"): register,
    ("PATCH", "/api/v1/clients/{clientID}"): at_client("PATCH"),
    ("DELETE", "/api/v1/clients/{clientID}"): register,
    ("POST", "/api/v1/clients/{clientID}/reset-secret"): at_client("POST", "/reset-secret"),
    ("POST", "/api/v1/clients/{clientID}/webhook-keys/rotate"): at_client("POST", "/webhook-keys/rotate"),
    ("POST", "/api/v1/oauth/token"): exchange,
    ("POST", "/api/v1/oauth/revoke"): present,
    ("POST", "/api/v1/oauth/create-code"): exchange,
    ("POST", "/api/v1/oauth/par"): push,
    ("POST", "/api/v1/oauth/device_authorization"): start_device,
    ("POST", "/api/v1/oauth/register"): nothing_more,
    ("DELETE", "/api/v1/apps/{clientID}"): disconnect,
    ("POST", "/api/v1/keys"): make_keys,
    ("PATCH", "/api/v1/keys/{keyID}"): change_key,
    ("DELETE", "/api/v1/keys/{keyID}"): make_keys,
    ("POST", "/api/v1/keys/{keyID}/rotate"): rotate_key,
    ("POST", "/logout"): nothing_more,
    ("GET", "/oauth/request-auth"): opening("/oauth/request-auth"),
    ("GET", "/oauth/authorize"): opening("/oauth/authorize"),
    ("POST", "/oauth/decide"): decide,
    ("POST", "/client-file-flow/{clientID}"): on_page("/client-file-flow/{clientID}", "Create key"),
    ("POST", "/apps/{clientID}/disconnect"): on_page("/apps/{clientID}/disconnect", "Disconnect"),
    ("POST", "/revoke-all"): nothing_more,
    ("POST", "/keys/{keyID}/revoke"): nothing_more,
    ("POST", "/keys/{keyID}/rotate"): nothing_more,
    ("POST", "/keys/{keyID}/pause"): on_page("/keys/{keyID}", "Pause"),
    ("POST", "/keys/{keyID}/resume"): on_page("/keys/{keyID}", "Resume"),
    ("POST", "/keys/{keyID}/narrow"): nothing_more,
    ("POST", "/keys/{keyID}/rename"): on_page("/keys/{keyID}", "Rename", identifier="n" * 80),
    ("POST", "/keys/{keyID}/expire"): nothing_more,
    ("POST", "/developer/clients/new"): on_page("/developer/clients/new", "Register"),
    ("POST", f"{CLIENT}/edit"): on_page(
        f"{CLIENT}/edit", "Save", description="d" * 1000, redirect_uris=CALLBACK
    ),
    ("POST", f"{CLIENT}/reset-secret"): nothing_more,
    ("POST", f"{CLIENT}/delete"): nothing_more,
    ("POST", f"{CLIENT}/webhooks/test"): nothing_more,
    ("POST", f"{CLIENT}/webhooks/resend"): nothing_more,
    ("POST", f"{CLIENT}/webhooks/enable"): nothing_more,
    ("POST", f"{CLIENT}/webhooks/rotate"): on_page(f"{CLIENT}/webhooks", "Rotate the keys"),
    ("POST", "/api/v1/status"): present,
    ("POST", "/api/v1/oauth/introspect"): present,
    ("POST", "/api/v1/keys/report-leak"): present,
    ("POST", "/api/v1/account/password"): change_password,
    ("POST", "/api/v1/account/password-reset"): change_password,
    ("DELETE", "/api/v1/account/sessions"): nothing_more,
    ("DELETE", "/api/v1/account/sessions/{sessionID}"): nothing_more,
    ("POST", "/account/sessions"): nothing_more,
    ("POST", "/api/v1/external-users/end"): present,
    ("DELETE", "/api/v1/external-users/{externalID}"): present,
    ("PUT", "/api/v1/login-requests/{challenge}"): present,
    ("POST", "/login/oidc/backchannel-logout"): nothing_more,
    ("POST", "/login/oidc/link"): nothing_more,
    ("POST", "/login/site/link"): nothing_more,
    **{(method, "/api/v1/verify"): nothing_more for method in ("POST", "PUT", "PATCH", "DELETE")},
}
"""For each route that takes a body, and those that keep what comes in a query: the largest thing that gets past its checks."""


async def try_all(stranger: Stranger, times: int, only: frozenset[str] | None = None) -> None:
    """Every route so many times; with what can be sent without knowing it once, where more is known."""
    for method, path in routes():
        if only is None or path in only:
            known = TRIES.get((method, path))
            for _ in range(1 if known else times):
                await try_anything(stranger, method, path)
            for _ in range(times if known else 0):
                await TRIES[method, path](stranger)
