"""What signed-in people make us keep by opening and answering requests: small, and budgeted (issue 14, A4)."""

from __future__ import annotations

from collections import Counter
from typing import Final
from urllib.parse import quote

import httpx
import pytest

from services.auth_api import rate_limit
from services.auth_api.rate_limit import Limit
from shared.bus import CoalescingRedis
from tests.conftest import StackStarter
from tests.harness.site import CALLBACK, Client, Person
from tests.harness.stack import Stack
from tests.integration.consent_ui.visits import form_with, open_consent, query_of

LARGEST: Final = 4096
LONG_STATE: Final = "".join(chr(0x21 + number % 90) for number in range(4096))


async def sizes(stack: Stack, pattern: str) -> list[int]:
    """How many bytes each value takes in Redis."""
    redis = CoalescingRedis(stack.stores.redis_url)
    try:
        names = await redis.execute("KEYS", pattern)
        return [await redis.execute("MEMORY", "USAGE", name) for name in names]
    finally:
        await redis.close()


async def test_a_consent_page_keeps_little_however_long_its_link(stack: Stack) -> None:
    """State and context of 4 KB each come back byte for byte, with Accept and with Decline; nothing large is kept."""
    person = await stack.site.sign_up()
    client = await person.create_client()
    query = f"&state={quote(LONG_STATE, safe='')}&context={quote(LONG_STATE[::-1][:500], safe='')}"
    for button in ("Accept", "Decline"):
        page = await open_consent(person, client, query)
        assert 0 < max(await sizes(stack, "lk:pending:*")) < 1024
        action, fields = form_with(page, button)
        answer = await person.http.post(action, data=fields)
        assert answer.status_code == 303, answer.text
        arrived = query_of(answer.headers["Location"])
        assert arrived["state"] == LONG_STATE
        assert arrived["context"] == LONG_STATE[::-1][:500]


async def test_a_decision_with_another_state_decides_nothing(stack: Stack) -> None:
    """Abuse case 27: the form of one page with the signed address of another, or with one that nobody has signed."""
    person = await stack.site.sign_up()
    client = await person.create_client()
    one = form_with(await open_consent(person, client, "&state=one"), "Accept")[1]
    two = form_with(await open_consent(person, client, "&state=two"), "Accept")[1]
    for other in (two["return_to"], "", "x" * 64 + ".L29hdXRo", one["return_to"][:-2]):
        answer = await person.http.post("/oauth/decide", data={**one, "return_to": other})
        assert answer.status_code == 400, answer.headers
        assert "Location" not in answer.headers
    answer = await person.http.post("/oauth/decide", data=one)
    assert query_of(answer.headers["Location"])["state"] == "one"


@pytest.fixture
def small_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person may make us keep six things at once, people at one peer twenty."""
    monkeypatch.setattr(rate_limit, "KEPT_PERSON", Limit("kept-person", burst=6, interval_ms=3_600_000))
    monkeypatch.setattr(rate_limit, "KEPT_PEOPLE", Limit("kept-people", burst=20, interval_ms=3_600_000))


async def try_all(person: Person, client: Client, times: int) -> Counter[int]:
    """Each way of making us keep something, so many times; the statuses."""
    link = f"/oauth/request-auth?clientID={client.client_id}"
    key = {"identifier": "Mine", "permissions": ["submit_score"]}
    statuses: Counter[int] = Counter()
    for _ in range(times):
        answers = [
            await person.http.get(link),
            await person.http.get(f"/client-file-flow/{client.client_id}"),
            await person.http.post("/api/v1/oauth/create-code", json={"clientID": client.client_id}),
            await person.http.post("/api/v1/keys", json=key),
            await person.http.post("/api/v1/keys", json={"clientID": client.client_id}),
        ]
        for answer in answers:
            statuses[answer.status_code] += 1
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                assert int(answer.headers["Retry-After"]) >= 1
    return statuses


@pytest.mark.usefixtures("small_budgets")
async def test_one_person_and_all_at_one_peer_have_budgets(start_stack: StackStarter) -> None:
    """Pages, codes and keys together, successes too: 429 with Retry-After; what is taken back never counts."""
    async with start_stack({}) as stack:
        author = await stack.site.sign_up()
        client = await author.create_client()
        people = [await stack.site.sign_up() for _ in range(5)]
        key = await people[0].create_key("Mine", ["submit_score"])
        first = await try_all(people[0], client, 3)
        assert sum(first[status] for status in (200, 201)) == 5
        assert first[429] == 10
        second = await try_all(people[1], client, 3)  # what was refused has used up nothing of theirs
        assert sum(second[status] for status in (200, 201)) == 6
        for person in people[2:]:
            await try_all(person, client, 3)
        kept = await sizes(stack, "lk:pending:*") + await sizes(stack, "lk:{key_issuer:0}:code:*")
        assert 0 < len(kept) <= 20
        assert max(kept) < LARGEST
        for _ in range(2):
            answer = await people[0].http.delete(f"/api/v1/keys/{key['keyID']}")
            assert answer.status_code == 204


@pytest.mark.usefixtures("small_budgets")
async def test_pressing_accept_again_and_again_is_budgeted(start_stack: StackStarter) -> None:
    """Each press gives another code; so many, then a page that says when to go on. Resuming a key likewise."""
    async with start_stack({}) as stack:
        author, person = await stack.site.sign_up(), await stack.site.sign_up()
        client = await author.create_client()
        action, fields = form_with(await open_consent(person, client), "Accept")
        answers = [await person.http.post(action, data=fields) for _ in range(8)]
        assert [answer.status_code for answer in answers] == [303] * 5 + [429] * 3
        assert all(answer.headers["Location"].startswith(CALLBACK) for answer in answers[:5])
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert "Too many requests" in answers[-1].text
        other = await stack.site.sign_up()
        key = await other.create_key("Mine", ["submit_score"])
        path = f"/api/v1/keys/{key['keyID']}"
        statuses = []
        for _ in range(6):
            assert (await other.http.patch(path, json={"status": "paused"})).status_code == 200
            statuses.append((await other.http.patch(path, json={"status": "active"})).status_code)
        assert statuses == [200] * 5 + [429]
