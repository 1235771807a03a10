"""The activity log: what a client's author reads of every attempt, and no one else."""

from __future__ import annotations

import pytest

from services.auth_api.oauth.pkce import challenge_of
from shared.contracts.clients import ListAttempts
from shared.secret_tokens import digest_of
from tests.harness.site import CALLBACK, Person
from tests.integration.oauth.conftest import Provider
from tests.integration.oauth.consenting import decline, prepare, session_of, shown


async def test_each_attempt_tells_its_exact_cause(provider: Provider, author: Person, person: Person) -> None:
    """The public answers stay generic; by the client, by the person, by nobody known; the newest comes first."""
    client = await author.create_client()
    verifier = "A" * 43
    pkce = {"codeChallenge": challenge_of(verifier), "codeChallengeMethod": "S256"}
    slash = [("response_type", "code"), ("client_id", client.client_id), ("redirect_uri", CALLBACK + "/")]
    await prepare(provider, person, "authorize", *slash)
    await provider.site.http.post(
        "/api/v1/oauth/token",
        data={"grant_type": "authorization_code", "code": "x"},
        auth=(client.client_id, "wrong"),
    )
    code = await person.create_code(client, **pkce)
    await provider.site.exchange(client, code, code_verifier="B" * 43)
    await provider.site.exchange(client, code, code_verifier=verifier)
    await provider.site.exchange(client, code, code_verifier=verifier)
    consent = await shown(provider, person, "request_auth", ("clientID", client.client_id))
    await decline(provider, person, consent)
    answer = await author.http.get(f"/api/v1/clients/{client.client_id}/attempts")
    attempts = answer.json()
    told = [tuple(attempt[name] for name in ("by", "step", "result", "error")) for attempt in attempts]
    assert told == [
        ("client", "token", "refused", "invalid_grant"),
        ("client", "token", "ok", None),
        ("client", "token", "refused", "invalid_grant"),
        ("person", "consent", "refused", "access_denied"),
        ("person", "authorize", "ok", None),
        ("person", "create-code", "ok", None),
        ("person", "authorize", "refused", "invalid_request"),
        ("nobody", "token", "refused", "invalid_client"),
    ]
    causes = [attempt["cause"] for attempt in attempts]
    assert "used already" in causes[0]
    assert "verifier does not match" in causes[2]
    assert "the person declined" in causes[3]
    assert "trailing slash" in causes[6]
    assert "client_secret is wrong" in causes[7]
    assert all(attempt["requestID"] and attempt["on"] > 1_600_000_000_000 for attempt in attempts)
    for secret in (code, verifier, str(client.secret), "B" * 43):
        assert secret not in answer.text


async def test_only_the_author_reads_them(provider: Provider, author: Person, person: Person) -> None:
    """404 for anybody else, as for an unknown client; 401 without a session."""
    client = await author.create_client()
    path = f"/api/v1/clients/{client.client_id}/attempts"
    assert (await author.http.get(path)).json() == []
    assert (await person.http.get(path)).status_code == 404
    assert (await author.http.get("/api/v1/clients/nobody/attempts")).status_code == 404
    assert (await provider.site.http.get(path)).status_code == 401


async def test_the_last_hundred_are_kept(provider: Provider, author: Person) -> None:
    """Older ones go; a stranger cannot fill anybody else's list."""
    client, other = await author.create_client(), await author.create_client()
    for number in range(104):
        await provider.site.exchange(client, f"wrong-{number}")
    attempts = (await author.http.get(f"/api/v1/clients/{client.client_id}/attempts")).json()
    assert len(attempts) == 100
    assert attempts == sorted(attempts, key=lambda attempt: -attempt["on"])
    assert (await author.http.get(f"/api/v1/clients/{other.client_id}/attempts")).json() == []


@pytest.mark.parametrize("public", [False, True])
async def test_who_names_a_client_pushes_out_nothing_that_it_did(
    provider: Provider, author: Person, person: Person, public: bool
) -> None:
    """Nobody but a client fills its own list, nobody signed out that of the people; the flood is capped as well."""
    client = await author.create_client(public=public)
    verifier = "A" * 43
    pkce = {"codeChallenge": challenge_of(verifier), "codeChallengeMethod": "S256"}
    code = await person.create_code(client, **pkce)
    assert (await provider.site.exchange(client, code, code_verifier=verifier)).status_code == 200
    named = {"client_id": client.client_id}
    guesses: list[tuple[str, dict[str, str]]] = [
        ("/token", {**named, "grant_type": "authorization_code", "code": "x", "client_secret": "wrong"}),
        ("/token", {**named, "grant_type": "authorization_code", "code": "x", "code_verifier": verifier}),
        ("/revoke", {**named, "token": "x"}),
        ("/par", named),
        ("/device_authorization", {**named, "scope": "nope"}),
    ]
    for path, form in guesses * 21:
        await provider.site.http.post(f"/api/v1/oauth{path}", data=form)
    for number in range(101):
        query = {**named, "response_type": "code", "redirect_uri": f"https://evil.example/{number}"}
        await prepare(provider, None, "authorize", *query.items())
    attempts = (await author.http.get(f"/api/v1/clients/{client.client_id}/attempts")).json()
    told = [(attempt["by"], attempt["cause"]) for attempt in attempts if attempt["by"] != "nobody"]
    assert told == [("client", "a key was issued"), ("person", "the person accepted")]
    assert len(attempts) == 102


async def test_the_console_reads_them_over_the_bus(
    provider: Provider, author: Person, person: Person
) -> None:
    """The same list, bound to the session."""
    client = await author.create_client()
    await provider.site.exchange(client, "wrong")
    bus = provider.pages
    found = await bus.request(ListAttempts(session=session_of(author), client_id=client.client_id))
    assert (found.outcome, len(found.attempts)) == ("done", 1)
    assert found.attempts[0].result == "refused"
    other = await bus.request(ListAttempts(session=session_of(person), client_id=client.client_id))
    assert (other.outcome, other.attempts) == ("not_found", ())
    nobody = await bus.request(ListAttempts(session=digest_of("x"), client_id=client.client_id))
    assert (nobody.user, nobody.attempts) == (None, ())


@pytest.mark.parametrize("odd", ['%0a{"level":"INFO"}', "\u001b[2J", "x" * 5000, "\u2028", "plain"])
async def test_ac_49_nothing_a_caller_sends_appears_in_it(
    provider: Provider, author: Person, odd: str
) -> None:
    """Causes are ours; only names of fields are repeated. The mark shows also what was escaped or cut on its way."""
    client = await author.create_client()
    mark = "mark49"
    form = {"grant_type": mark + odd, "code": mark + odd}
    await provider.site.http.post("/api/v1/oauth/token", data=form, auth=client.basic)
    answer = await author.http.get(f"/api/v1/clients/{client.client_id}/attempts")
    assert mark not in answer.text
    assert len(answer.json()) == 1
