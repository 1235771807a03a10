"""What is taken away, or brought back, between a person's consent and the key; and replays of what Redis has forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from services.auth_api.codes.store import code_key
from shared.secret_tokens import digest_of
from tests.harness.site import CALLBACK, Client, Person
from tests.harness.stores import Servers
from tests.integration.oauth.conftest import Provider, running_provider, serving_provider
from tests.integration.oauth.consenting import decide, shown
from tests.integration.oauth.devices import error, poll, start

OTHER: Final = "https://other.example.com/back"
_PERMISSION: Final = '[{}]\ntitle = "Do something"\nsentence = "Do something."\naccess = "change"\n'


async def at(provider: Provider, person: Person) -> Person:
    """The same person, in front of another replica."""
    there = await provider.site.visitor()
    there.username, there.user_id = person.username, person.user_id
    assert (await there.sign_in(person.username)).status_code == 200
    return there


async def test_a_permission_that_is_gone_gives_nothing_by_any_way(servers: Servers, tmp_path: Path) -> None:
    """Not to a device that was let in before, nor to an app that asks now, by a code or by a file."""
    before, after = tmp_path / "before.toml", tmp_path / "after.toml"
    before.write_text(_PERMISSION.format("submit_score") + _PERMISSION.format("customise_score"))
    after.write_text(_PERMISSION.format("submit_score"))
    async with running_provider(servers, PERMISSIONS_FILE=str(before)) as old:
        person = await old.site.sign_up()
        client = await person.create_client()
        device = await start(old, client)
        consent = await shown(old, person, "device", ("user_code", device["user_code"]))
        assert (await decide(old, person, consent)).outcome == "approved"

        async with serving_provider(old.stores, {"PERMISSIONS_FILE": str(after)}, issuing=False) as new:
            polled = await poll(new, client, device["device_code"])
            there = await at(new, person)
            body = {"clientID": client.client_id}
            code = await there.http.post("/api/v1/oauth/create-code", json=body)
            file = await there.http.post("/api/v1/keys", json=body)

        assert error(polled) == "invalid_grant"
        assert (code.status_code, code.json()["error"]) == (400, "invalid_scope"), code.text
        assert file.status_code == 409, file.text
        assert await old.all_keys(person.user_id) == 0


@pytest.mark.parametrize("form", [{"redirect_uri": CALLBACK}, {}], ids=["sent", "not sent"])
@pytest.mark.parametrize("uris", [[CALLBACK], [OTHER, CALLBACK]], ids=["alone", "beside another"])
async def test_a_redirect_uri_that_is_back_is_as_good_as_before(
    provider: Provider, person: Person, uris: list[str], form: dict[str, str]
) -> None:
    """The author removes the address and registers it again while a code is on its way to it."""
    client = await person.create_client()
    given = {"redirectUri": CALLBACK} if form else {}
    code = await person.create_code(client, **given)
    for registered in ([OTHER], uris):
        changed = await person.http.patch(
            f"/api/v1/clients/{client.client_id}", json={"redirectUris": registered}
        )
        assert changed.status_code == 200, changed.text

    answer = await provider.site.exchange(client, code, **form)

    assert answer.status_code == 200, answer.text
    assert await provider.live_keys(person.user_id) == 1


@pytest.mark.parametrize(
    ("form", "lives"),
    [({"redirect_uri": OTHER}, 1), ({}, 1), ({"redirect_uri": CALLBACK}, 0)],
    ids=["another address", "no address", "the right address"],
)
async def test_a_replay_of_a_confidential_clients_forgotten_code_needs_its_redirect_uri(
    provider: Provider, person: Person, form: dict[str, str], lives: int
) -> None:
    """Authenticated, but not the request that the code was made for: no key ends by it (RFC 6749 §4.1.3)."""
    client = await person.create_client()
    code = await _spent_and_forgotten(provider, person, client, redirectUri=CALLBACK)

    answer = await provider.site.exchange(client, code, **form)

    assert error(answer) == "invalid_grant"
    assert await provider.live_keys(person.user_id) == lives


async def _spent_and_forgotten(provider: Provider, person: Person, client: Client, **fields: Any) -> str:
    code = await person.create_code(client, **fields)
    given = await provider.site.exchange(client, code, redirect_uri=CALLBACK)
    assert given.status_code == 200, given.text
    await provider.resources.bus.redis.execute("DEL", code_key(digest_of(code)))
    assert await provider.live_keys(person.user_id) == 1
    return code
