"""An integrator that knows the link with `context`, JSON at the token endpoint, `body.token` and `/api/v1/status`."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import aiohttp

from tests.harness.people import Account, Person

REDIRECT_URI = "https://epicgames.example.com/tachi-auth-callback"


async def test_it_works_unmodified(latchkey: str) -> None:
    """Link, consent, JSON exchange, the key from the envelope, the key's permissions from its status."""
    async with Account(latchkey) as author, Person(latchkey) as person, aiohttp.ClientSession() as http:
        client = await author.register(redirectUri=REDIRECT_URI)
        link = f"{latchkey}/oauth/request-auth?clientID={client.client_id}&context=discord-1234"
        query = parse_qs(urlsplit(await person.decide(link, "Accept", REDIRECT_URI)).query)
        assert query["context"] == ["discord-1234"]

        exchange = {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "grant_type": "authorization_code",
            "redirect_uri": REDIRECT_URI,
            "code": query["code"][0],
        }
        async with http.post(f"{latchkey}/api/v1/oauth/token", json=exchange) as answer:
            assert answer.status == 200
            document = await answer.json()
        assert document["success"] is True
        assert set(document["body"]) == {"userID", "token", "identifier", "permissions", "fromAPIClient"}
        assert document["body"]["fromAPIClient"] == client.client_id

        headers = {"Authorization": f"Bearer {document['body']['token']}"}
        async with http.get(f"{latchkey}/api/v1/status", headers=headers) as answer:
            status = await answer.json()
        assert status["success"] is True
        assert status["body"]["permissions"] == ["customise_score"]
        assert status["body"]["whoami"] == document["body"]["userID"]
        async with http.get(f"{latchkey}/api/v1/users/me", headers=headers) as answer:
            me = await answer.json()
        assert me["success"] is True
        assert me["body"] == {"id": document["body"]["userID"], "username": person.username}


async def test_a_wrong_secret_is_told_in_its_envelope_and_spends_nothing(latchkey: str) -> None:
    """`success` is false beside the OAuth error; the right secret still gets the key."""
    async with Account(latchkey) as author, Person(latchkey) as person, aiohttp.ClientSession() as http:
        client = await author.register(redirectUri=REDIRECT_URI)
        link = f"{latchkey}/oauth/request-auth?clientID={client.client_id}"
        query = parse_qs(urlsplit(await person.decide(link, "Accept", REDIRECT_URI)).query)
        body = {"client_id": client.client_id, "grant_type": "authorization_code", "code": query["code"][0]}
        for secret, status, error in (("wrong", 401, "invalid_client"), (client.client_secret, 200, None)):
            async with http.post(
                f"{latchkey}/api/v1/oauth/token", json={**body, "client_secret": secret}
            ) as answer:
                document = await answer.json()
                assert answer.status == status, document
            assert document.get("error") == error
            assert document["success"] is (error is None)


async def test_declining_comes_back_with_the_reason(latchkey: str) -> None:
    """The integrator learns that the person declined, with its own state."""
    async with Account(latchkey) as author, Person(latchkey) as person:
        client = await author.register(redirectUri=REDIRECT_URI)
        link = f"{latchkey}/oauth/request-auth?clientID={client.client_id}&state=a%2Fb%20c"
        query = parse_qs(urlsplit(await person.decide(link, "Decline", REDIRECT_URI)).query)
        assert query["error"] == ["access_denied"]
        assert query["state"] == ["a/b c"]
        assert "code" not in query
