"""Every case with every library that can play it, each as its users would write it, against one running Latchkey."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import aiohttp
import pytest

from tests.harness.people import Account, Person
from tests.interop.building import CannotBuildError, Command
from tests.interop.conversation import Players
from tests.interop.libraries import LIBRARIES, Library

REDIRECT_URI = "http://127.0.0.1:9/tachi-auth-callback"
SCOPE = "customise_score"
DEAD = frozenset({"replay", "revoke"})
"""The cases that end with the key revoked."""
EXPECTED: dict[str, dict[str, Any]] = {
    "wrong_secret": {"error": "invalid_client"},
    "decline": {"error": "access_denied"},
    "replay": {"error": "invalid_grant"},
    "revoke": {"status": 200},
    "introspect": {"active": True},
}

PAIRS = [
    pytest.param(library, case, id=f"{library.language}-{library.name}-{case}")
    for library in LIBRARIES
    for case in library.cases
]


@pytest.fixture(scope="module")
async def setting(latchkey: str) -> dict[str, str | None]:
    """What a client program is told: where Latchkey is, and its clients."""
    async with Account(latchkey) as author:
        confidential = await author.register(redirectUri=REDIRECT_URI)
        public = await author.register(redirectUri=REDIRECT_URI, public=True)
    return {
        "issuer": latchkey,
        "client_id": confidential.client_id,
        "client_secret": confidential.client_secret,
        "public_client_id": public.client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": SCOPE,
    }


@pytest.fixture(scope="module")
async def person(latchkey: str) -> AsyncIterator[Person]:
    """Who consents."""
    async with Person(latchkey) as somebody:
        yield somebody


@pytest.fixture(scope="module")
async def players() -> AsyncIterator[Players]:
    """The client programs that have been started."""
    players = Players()
    yield players
    await players.close()


@cache
def build(library: Library) -> Command | str:
    """The client program, made once, or why it cannot be made here."""
    try:
        return library.build()
    except CannotBuildError as error:
        return f"{library.name} ({library.language}): {error}"


@pytest.mark.slow
@pytest.mark.timeout(700)  # the first case of a language waits for its packages and its compiler
@pytest.mark.parametrize(("library", "case"), PAIRS)
async def test_a_library_plays_a_case(
    library: Library,
    case: str,
    latchkey: str,
    setting: dict[str, str | None],
    person: Person,
    players: Players,
) -> None:
    """The library reaches the result that its user expects, and its key is live or dead as the case has it."""
    command = build(library)
    if isinstance(command, str):
        pytest.skip(command)
    result = await players.play(command, case, setting, person)
    for name, value in EXPECTED.get(case, {}).items():
        assert result.get(name) == value, result
    if "client_id" in result:
        assert result["client_id"] == setting["client_id"]
    if "token" in result:
        assert result["scope"] == SCOPE
        assert await is_live(latchkey, result["token"]) is (case not in DEAD)
    else:
        assert case in EXPECTED, result


async def is_live(latchkey: str, token: str) -> bool:
    """Whether a key is good for what was asked."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{latchkey}/api/v1/verify?permission={SCOPE}", headers=headers) as answer,
    ):
        assert answer.status in (200, 401)
        return answer.status == 200
