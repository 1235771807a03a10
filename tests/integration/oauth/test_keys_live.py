"""What a person and a program may rely on once a key was answered: real processes, HTTP, the real stores."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from tests.harness.processes import SERVICES
from tests.harness.site import CALLBACK, Client, Person
from tests.harness.stores import Servers, Stores
from tests.integration.oauth.conftest import serving_provider
from tests.integration.oauth.living import Live, living

REFUSED_SECONDS: Final = 5.0
VERIFIER: Final = "v" * 43
_PERMISSION: Final = '[{}]\ntitle = "Do something"\nsentence = "Do something."\naccess = "change"\n'
CHALLENGE: Final = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
async def live(servers: Servers, run_directory: Path) -> AsyncIterator[Live]:
    """All three, for the tests that do them no harm."""
    async with living(servers, run_directory, names=SERVICES) as (live, _):
        yield live


# A key that was answered is in the next list


async def _in_keys(person: Person, key: dict[str, Any], client: Client) -> int:
    keys = (await person.http.get("/api/v1/keys")).json()
    return sum(each["keyID"] == key["keyID"] and each["fromAPIClient"] == client.client_id for each in keys)


async def _in_apps(person: Person, _: dict[str, Any], client: Client) -> int:
    apps = (await person.http.get("/api/v1/apps")).json()
    return sum(each["keys"] for each in apps if each["clientID"] == client.client_id)


async def _on_the_home_page(person: Person, key: dict[str, Any], _: Client) -> int:
    return int(f"/keys/{key['keyID']}" in (await person.http.get("/")).text)


async def _in_the_csv(person: Person, _: dict[str, Any], client: Client) -> int:
    lines = (await person.http.get("/keys.csv")).text.splitlines()
    return sum(str(client.document["name"]) in line for line in lines)


@pytest.mark.parametrize(
    "count",
    [_in_keys, _in_apps, _on_the_home_page, _in_the_csv],
    ids=["list", "apps", "home page", "CSV"],
)
async def test_a_key_is_in_the_very_next_list(
    live: Live, count: Callable[[Person, dict[str, Any], Client], Any]
) -> None:
    """Read at once after the 200, over and over: the person who looks for what they just allowed finds it."""
    person = await live.site.sign_up()
    for number in range(12):
        client = await person.create_client(name=f"App {number:02}")
        key = await person.give_key(client)
        assert await count(person, key, client) == 1


# A code is good for what its client still has


@pytest.mark.parametrize(
    ("left", "form"),
    [
        (["https://other.example.com/back"], {"redirect_uri": CALLBACK}),
        (["https://other.example.com/back"], {}),
        ([], {"redirect_uri": CALLBACK}),
        ([], {}),
    ],
    ids=["sent", "not sent", "all removed, sent", "all removed, not sent"],
)
async def test_a_code_dies_with_its_redirect_uri(live: Live, left: list[str], form: dict[str, str]) -> None:
    """The author removes the address between consent and exchange: no key comes of the code."""
    person, client = await live.consented()
    given = {"redirectUri": CALLBACK} if form else {}
    code = await person.create_code(client, **given)
    changed = await person.http.patch(f"/api/v1/clients/{client.client_id}", json={"redirectUris": left})
    assert changed.status_code == 200, changed.text
    answer = await live.site.exchange(client, code, **form)
    assert (answer.status_code, answer.json().get("error")) == (400, "invalid_grant"), answer.text
    assert await live.statuses(person) == []


async def test_a_code_dies_with_its_permission(stores: Stores, tmp_path: Path) -> None:
    """The operator takes the permission out of the catalogue between consent and exchange, and starts the services anew."""
    before, after = tmp_path / "before.toml", tmp_path / "after.toml"
    before.write_text(_PERMISSION.format("submit_score") + _PERMISSION.format("customise_score"))
    after.write_text(_PERMISSION.format("submit_score"))
    async with serving_provider(stores, {"PERMISSIONS_FILE": str(before)}) as provider:
        person = await provider.site.sign_up()
        client = await person.create_client()
        code = await person.create_code(client)
    async with serving_provider(stores, {"PERMISSIONS_FILE": str(after)}) as provider:
        answer = await provider.site.exchange(client, code)
        assert (answer.status_code, answer.json().get("error")) == (400, "invalid_grant"), answer.text
        assert await provider.all_keys(person.user_id) == 0


# A replay is one only of who could have redeemed


@pytest.mark.parametrize(
    ("form", "lives"),
    [
        ({"redirect_uri": CALLBACK}, True),
        ({"redirect_uri": CALLBACK, "code_verifier": "w" * 43}, True),
        ({"redirect_uri": "https://other.example.com/back", "code_verifier": VERIFIER}, True),
        ({"code_verifier": VERIFIER}, True),
        ({"redirect_uri": CALLBACK, "code_verifier": VERIFIER}, False),
    ],
    ids=["no verifier", "wrong verifier", "wrong address", "no address", "all of it"],
)
async def test_a_replay_of_a_forgotten_code_needs_what_the_code_was_bound_to(
    live: Live, form: dict[str, str], *, lives: bool
) -> None:
    """Anybody can speak as a public client, and a code may have been seen on its way: alone it ends no key."""
    person, client = await live.consented(public=True)
    code = await person.create_code(
        client, redirectUri=CALLBACK, codeChallenge=CHALLENGE, codeChallengeMethod="S256"
    )
    good = {"redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    given = await live.site.exchange(client, code, **good)
    assert given.status_code == 200, given.text
    token = given.json()["access_token"]
    assert (await live.site.verify(token)).status_code == 200
    await live.forget_code(code)
    answer = await live.site.exchange(client, code, **form)
    assert (answer.status_code, answer.json().get("error")) == (400, "invalid_grant"), answer.text
    assert await live.statuses(person) == (["active"] if lives else ["revoked"])
    if not lives:
        await _refused(live, token)


async def _refused(live: Live, token: str) -> None:
    async with asyncio.timeout(REFUSED_SECONDS):
        while (await live.site.verify(token)).status_code != 401:
            await asyncio.sleep(0.02)
