"""Every flow of the product once, as people and programs play them, over HTTP alone."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import httpx

from services.auth_api.oauth.pkce import challenge_of
from tests.harness.site import CALLBACK, PASSWORD, Client, Person, Site, bearer
from tests.integration.consent_ui.visits import open_consent, open_page, press, query_of

VERIFIER: Final = "the-verifier-of-a-public-client-0123456789-abcdef"
WRONG_PASSWORD: Final = "Wrong-Password-0123"
CHOSEN_PASSWORD: Final = "Chosen-Password-0123"
NEXT_PASSWORD: Final = "Next-Password-0123"
UNKNOWN_LINK: Final = "LinkOfAnOperatorThatLeadsNowhere0123456789x"
MISPLACED: Final = "a-secret-that-an-app-put-into-its-link-0123456789"
IDEMPOTENCY_KEY: Final = "idempotency-key-0123456789-abcdef"
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
_TOKEN: Final = re.compile(r"lk[a-z]_[0-9A-Za-z_]{60,}")


async def play_every_flow(site: Site) -> None:
    """Each step asserts that it did what it is there for. Needs ``REGISTRATION=on``, and Redis 7 or later."""
    author, person = await site.sign_up(), await sign_up_on_the_page(site)
    client = await author.create_client(apiKeyFormat='{"key": "%%API_KEY%%"}', apiKeyFilename="key.json")
    await play_code_flow(site, person, client)
    await play_public_client(site, author, person)
    await play_pushed_request(site, person, client)
    await play_device_flow(site, person, client)
    await play_declined_device(site, person, client)
    await play_file_flow(site, person, client)
    await play_own_keys(site, person)
    await play_checks(site, person, client)
    await play_console(site, author, person)
    await play_account(site, person)
    await play_registration(site, person)
    await play_endings(site, author, person, client)


async def sign_up_on_the_page(site: Site) -> Person:
    """Up, wrong and right in, out, all by forms."""
    person = await site.visitor()
    person.username = "Erika-of-every-flow"
    account = {"username": person.username, "password": CHOSEN_PASSWORD}
    await press(person, await open_page(person, "/sign-up"), "Create account", account)
    await press(person, await open_page(person, "/"), "Sign out")
    wrong = {**account, "password": WRONG_PASSWORD}
    refused = await press(person, await open_page(person, "/login"), "Sign in", wrong)
    assert "error=invalid" in refused.headers["Location"]
    await press(person, await open_page(person, "/login"), "Sign in", account)
    person.user_id = (await person.http.get("/api/v1/session")).json()["userID"]
    return person


async def play_code_flow(site: Site, person: Person, client: Client) -> None:
    """The seed's link, accepted; a wrong secret, the key, and the code once more, which ends it. Then one declined."""
    accepted = await press(person, await open_consent(person, client, "&state=s-1&context=c-1"), "Accept")
    code = query_of(accepted.headers["Location"])["code"]
    wrong = {"grant_type": "authorization_code", "code": code, "client_id": client.client_id}
    refused = await site.http.post(
        "/api/v1/oauth/token", data={**wrong, "client_secret": "wrong-secret-0123456789"}
    )
    assert refused.status_code == 401
    given = await site.exchange(client, code, redirect_uri=CALLBACK)
    assert (await site.verify(given.json()["access_token"])).status_code == 200
    assert (await site.exchange(client, code, redirect_uri=CALLBACK)).status_code == 400
    assert (await site.exchange(client, "a-code-that-was-never-given-0123456789")).status_code == 400
    declined = await press(person, await open_consent(person, client), "Decline")
    assert query_of(declined.headers["Location"])["error"] == "access_denied"


async def play_public_client(site: Site, author: Person, person: Person) -> None:
    """PKCE with a wrong verifier first; a link into which its author put a secret; a retry of the exchange."""
    client = await author.create_client(public=True)
    link = {
        "response_type": "code",
        "client_id": client.client_id,
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
        "client_secret": MISPLACED,
        "code_verifier": VERIFIER,
    }
    page = await person.http.get("/oauth/authorize", params=link)
    code = query_of((await press(person, page, "Accept")).headers["Location"])["code"]
    wrong = await site.exchange(client, code, code_verifier=VERIFIER[::-1])
    assert wrong.status_code == 400
    form = {
        "grant_type": "authorization_code",
        "client_id": client.client_id,
        "code": code,
        "code_verifier": VERIFIER,
    }
    headers = {"Idempotency-Key": IDEMPOTENCY_KEY}
    answers = [
        (await site.http.post("/api/v1/oauth/token", data=form, headers=headers)).json() for _ in range(2)
    ]
    assert answers[0]["access_token"] == answers[1]["access_token"]
    assert (
        await person.create_code(client, codeChallenge=challenge_of(VERIFIER), codeChallengeMethod="S256")
    ) != code


async def play_pushed_request(site: Site, person: Person, client: Client) -> None:
    """Pushed ahead; the browser brings the reference while signed out, signs in, accepts."""
    form = {"response_type": "code", "client_id": client.client_id, "client_secret": client.secret or ""}
    pushed = (await site.http.post("/api/v1/oauth/par", data=form)).json()
    link = {"client_id": client.client_id, "request_uri": pushed["request_uri"]}
    page = await signed_in_on_the_way(site, person, httpx.URL("/oauth/authorize", params=link))
    code = query_of((await press(person, page, "Accept")).headers["Location"])["code"]
    assert (await site.exchange(client, code)).status_code == 200


async def signed_in_on_the_way(site: Site, person: Person, target: httpx.URL) -> httpx.Response:
    """The page at ``target`` for a person who had signed out before."""
    await press(person, await open_page(person, "/"), "Sign out")
    interrupted = await person.http.get(target)
    assert interrupted.headers["Location"].startswith("/login?continue=")
    page = await open_page(person, interrupted.headers["Location"])
    account = {"username": person.username, "password": CHOSEN_PASSWORD}
    back = await press(person, page, "Sign in", account)
    return await open_page(person, back.headers["Location"].removeprefix(site.origin))


async def start_device(site: Site, client: Client) -> dict[str, str]:
    """The codes for a device."""
    form = {"client_id": client.client_id}
    codes: dict[str, str] = (await site.http.post("/api/v1/oauth/device_authorization", data=form)).json()
    return codes


async def play_device_flow(site: Site, person: Person, client: Client) -> None:
    """A wrong code, one in odd spelling, the link that was opened signed out; accepted and polled."""
    codes = await start_device(site, client)
    poll = {"grant_type": DEVICE_CODE, "device_code": codes["device_code"]}
    assert (await site.token(client, **poll)).json()["error"] == "authorization_pending"
    wrong = await person.http.get("/device", params={"user_code": "BBBB-BBBB"})
    assert wrong.status_code == 404
    typed = codes["user_code"].lower().replace("-", " ")
    assert (await person.http.get("/device", params={"user_code": typed})).status_code == 200
    target = httpx.URL("/device", params={"user_code": codes["user_code"]})
    page = await signed_in_on_the_way(site, person, target)
    assert codes["user_code"] in page.text
    assert (await press(person, page, "Accept", {"label": "Television"})).status_code == 200
    assert (await site.token(client, **poll)).status_code == 200


async def play_declined_device(site: Site, person: Person, client: Client) -> None:
    """No key for it."""
    codes = await start_device(site, client)
    page = await person.http.get("/device", params={"user_code": codes["user_code"]})
    await press(person, page, "Decline")
    poll = {"grant_type": DEVICE_CODE, "device_code": codes["device_code"]}
    assert (await site.token(client, **poll)).json()["error"] == "access_denied"


async def play_file_flow(site: Site, person: Person, client: Client) -> None:
    """By the page and by REST."""
    page = await open_page(person, f"/client-file-flow/{client.client_id}?client_secret={MISPLACED}")
    made = await press(person, page, "Create key")
    (token, *_) = _TOKEN.findall(made.text)
    assert (await site.verify(token)).status_code == 200
    by_rest = await person.http.post("/api/v1/keys", json={"clientID": client.client_id})
    assert by_rest.status_code == 201


async def play_own_keys(site: Site, person: Person) -> None:
    """Made, replaced by REST and on the page, changed, revoked, reported as leaked."""
    key = await person.create_key("Mine", ["submit_score"])
    path = f"/api/v1/keys/{key['keyID']}"
    rotated = (await person.http.post(f"{path}/rotate", json={"overlapSeconds": 60})).json()
    page = await open_page(person, f"/keys/{rotated['keyID']}")
    replaced = await press(person, page, "Replace the key", {"overlap": "0"})
    (token, *_) = _TOKEN.findall(replaced.text)
    assert (await site.verify(token)).status_code == 200
    other = await person.create_key("Other", ["submit_score"])
    await person.http.patch(f"/api/v1/keys/{other['keyID']}", json={"identifier": "Renamed"})
    await press(person, await open_page(person, f"/keys/{other['keyID']}"), "Pause")
    assert (await person.http.delete(f"/api/v1/keys/{other['keyID']}")).status_code == 204
    leaked = await site.http.post("/api/v1/keys/report-leak", json={"token": token})
    assert leaked.status_code == 202
    assert (await site.verify(token)).status_code == 401


async def play_checks(site: Site, person: Person, client: Client) -> None:
    """A client asks about its own key with a wrong and a right secret, and revokes it (RFC 7662, RFC 7009)."""
    token = (await person.give_key(client))["access_token"]
    for path in ("/api/v1/status", "/api/v1/users/me"):
        assert (await site.http.get(path, headers=bearer(token))).status_code == 200
    introspect, revoke = "/api/v1/oauth/introspect", "/api/v1/oauth/revoke"
    wrong = await site.http.post(introspect, data={"token": token}, auth=(client.client_id, MISPLACED))
    assert wrong.status_code == 401
    right = await site.http.post(introspect, data={"token": token}, auth=client.basic)
    assert right.json()["active"] is True
    assert (await site.http.post(revoke, data={"token": token}, auth=client.basic)).status_code == 200
    assert (await site.verify(token)).status_code == 401


async def play_console(site: Site, author: Person, person: Person) -> None:
    """A client registered, its secret reset and its webhook keys rotated on the pages and by REST; its attempts; deleted."""
    fields = {"name": "Console app", "redirect_uris": CALLBACK, "requested_permissions": "submit_score"}
    page = await open_page(author, "/developer/clients/new")
    made = await press(author, page, "Register", fields)
    (client_id, *_) = re.findall(r"/developer/clients/(lkc_[0-9A-Za-z]+)", made.text)
    page = await open_page(author, f"/developer/clients/{client_id}")
    again = await press(author, page, "Reset secret", {"overlap": "0"})
    (secret, *_) = re.findall(r"lkx_[0-9A-Za-z_]+", again.text)
    client = Client({"clientID": client_id, "clientSecret": secret})
    assert (await site.exchange(client, await person.create_code(client))).status_code == 200
    path = f"/api/v1/clients/{client_id}"
    reset = await author.http.post(f"{path}/reset-secret", json={"overlapSeconds": 3600})
    assert reset.json()["clientSecret"] != secret
    page = await open_page(author, f"/developer/clients/{client_id}/webhooks?show=secrets")
    assert "whsec_" in page.text
    await press(author, page, "Rotate the keys", {"overlap": "3600"})
    rotated = await author.http.post(f"{path}/webhook-keys/rotate", json={"overlapSeconds": 3600})
    page = await open_page(author, f"/developer/clients/{client_id}/webhooks?show=secrets")
    keys = (await author.http.get(f"{path}/webhook-keys")).json()["keys"]
    assert [key["version"] for key in keys] == [3, 2]
    assert keys == rotated.json()["keys"]
    assert all(key["secret"].partition("+")[0] in page.text for key in keys)
    assert (await author.http.get(f"{path}/attempts")).json() != []
    assert (await author.http.delete(path)).status_code == 204


async def play_account(site: Site, person: Person) -> None:
    """Another browser seen and ended, the password changed with a wrong one first, everything else ended; a link that is none."""
    other, account = await site.visitor(), {"username": person.username, "password": CHOSEN_PASSWORD}
    await press(other, await open_page(other, "/login"), "Sign in", account)
    page = await open_page(person, "/account")
    await press(person, page, "End all other sessions")
    assert (await other.http.get("/api/v1/session")).status_code == 401
    await press(other, await open_page(other, "/login"), "Sign in", account)
    *_, there = (await person.http.get("/api/v1/account/sessions")).json()
    ended = await person.http.delete(f"/api/v1/account/sessions/{there['sessionID']}")
    assert ended.status_code == 204
    for current, location in (
        (WRONG_PASSWORD, "/account?error=current"),
        (CHOSEN_PASSWORD, "/account?done=password"),
    ):
        page = await open_page(person, "/account")
        answer = await press(person, page, "Change password", {"current": current, "new": NEXT_PASSWORD})
        assert answer.headers["Location"] == location
    back = {"current": NEXT_PASSWORD, "new": CHOSEN_PASSWORD}
    assert (await person.http.post("/api/v1/account/password", json=back)).status_code == 204
    await open_page(person, f"/reset-password?token={UNKNOWN_LINK}", 404)
    reset = {"token": UNKNOWN_LINK, "new": NEXT_PASSWORD}
    assert (await person.http.post("/api/v1/account/password-reset", json=reset)).status_code == 404


async def play_registration(site: Site, person: Person) -> None:
    """A program registers itself (RFC 7591) and is connected."""
    body = {"redirect_uris": [CALLBACK], "client_name": "A program", "scope": "submit_score"}
    document = (await site.http.post("/api/v1/oauth/register", json=body)).json()
    client = Client({"clientID": document["client_id"], "clientSecret": document.get("client_secret")})
    assert (await site.exchange(client, await person.create_code(client))).status_code == 200


async def play_endings(site: Site, author: Person, person: Person, client: Client) -> None:
    """One app disconnected, everything revoked, signed out, a client deleted."""
    await person.give_key(client)
    assert (await person.http.delete(f"/api/v1/apps/{client.client_id}")).status_code == 204
    token = (await person.give_key(client))["access_token"]
    await press(person, await open_page(person, "/revoke-all"), "Revoke everything")
    async with asyncio.timeout(5):
        while (await site.verify(token)).status_code != 401:
            await asyncio.sleep(0.02)
    await author.sign_in(author.username, PASSWORD)
    assert (await author.http.delete("/api/v1/session")).status_code == 204
