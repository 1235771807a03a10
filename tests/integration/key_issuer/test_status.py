"""`/api/v1/status` and `/api/v1/keys/report-leak`."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared.api_key import SECRET_LENGTH, assemble_key
from shared.contracts.keys import ChangeKey
from shared.version import VERSION
from tests.integration.key_issuer.conftest import URL, Desk, mint


async def ask(desk: Desk, method: str = "GET", query: str = "", **options: Any) -> tuple[int, Any]:
    """Status and body."""
    async with desk.http.request(method, f"{desk.url}/api/v1/status{query}", **options) as answer:
        return answer.status, await answer.json(content_type=None)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": " "}], ids=repr)
async def test_without_a_key_it_says_how_the_service_is(
    desk: Desk, method: str, headers: dict[str, str]
) -> None:
    """The seed system's envelope. A header without a value, as its bots send it, counts as absent."""
    status, answer = await ask(desk, method, headers=headers)
    body = answer.pop("body")
    assert (status, answer) == (200, {"success": True, "description": "Status check successful."})
    assert abs(body.pop("serverTime") - time.time() * 1000) < 60_000
    assert body.pop("startTime") <= time.time() * 1000
    assert body == {"version": VERSION, "whoami": None, "externalUser": None, "permissions": []}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_live_key_tells_whose_it_is(desk: Desk, method: str) -> None:
    """Integrators check their key here."""
    key = await desk.make(user_id=42)
    _, answer = await ask(desk, method, headers={"Authorization": f"Bearer {key.token}"})
    assert answer["body"]["whoami"] == 42
    assert answer["body"]["permissions"] == ["customise_score", "delete_score"]


@pytest.mark.spec("RFC 6750", "3.1", "A key that is not live is 401 at the status endpoint too")
async def test_a_key_that_is_not_live_is_refused(desk: Desk) -> None:
    """In the seed's shape."""
    paused = await desk.make()
    await desk.bus.request(ChangeKey(key_id=paused.key_id, user_id=2, status="paused"))
    for header in (f"Bearer {mint().token}", f"Bearer {paused.token}", "Bearer", "Basic YTpi", "x"):
        status, answer = await ask(desk, headers={"Authorization": header})
        assert status == 401
        assert answer.pop("description")
        assert answer == {"success": False}


async def test_what_is_sent_comes_back(desk: Desk) -> None:
    """From the query, or posted as JSON."""
    assert (await ask(desk, query="?echo=h%C3%A9llo+w"))[1]["body"]["echo"] == "héllo w"
    assert (await ask(desk, "POST", json={"echo": "x"}))[1]["body"]["echo"] == "x"
    assert (await ask(desk, "POST", query="?echo=y"))[1]["body"]["echo"] == "y"
    assert "echo" not in (await ask(desk, "POST", json={}))[1]["body"]


@pytest.mark.parametrize(
    ("query", "options", "expected"),
    [
        ("?echo=a&echo=b", {}, 400),
        ("?echo=%00", {}, 400),
        ("?echo=%ff", {}, 400),
        ("", {"json": {"echo": 5}}, 400),
        ("", {"json": {"other": "x"}}, 400),
        ("", {"json": ["x"]}, 400),
        ("", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("", {"data": b"echo=1", "headers": {"Content-Type": "text/plain"}}, 415),
        ("", {"data": b"x" * 4_097, "headers": {"Content-Type": "application/json"}}, 413),
    ],
)
async def test_what_is_wrong_is_named(desk: Desk, query: str, options: dict[str, Any], expected: int) -> None:
    """Never a 5xx; a problem document that has the members of the seed's envelope too."""
    status, answer = await ask(desk, "POST", query, **options)
    assert status == expected
    assert answer["status"] == expected
    assert (answer["success"], answer["description"]) == (False, answer["detail"])


async def test_other_methods_are_refused(desk: Desk) -> None:
    """405 names what is understood."""
    for path, understood in (("status", "GET,HEAD,OPTIONS,POST"), ("users/me", "GET,HEAD,OPTIONS")):
        async with desk.http.delete(f"{desk.url}/api/v1/{path}") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, understood)
            assert (await answer.json(content_type=None))["success"] is False


async def report(desk: Desk, **options: Any) -> int:
    """The status of a report."""
    async with desk.http.post(f"{desk.url}/api/v1/keys/report-leak", **options) as answer:
        return answer.status


async def test_a_reported_key_dies_at_once(desk: Desk) -> None:
    """Also one that is paused; the answer is the same as for anything else."""
    live, paused = await desk.make(), await desk.make()
    await desk.bus.request(ChangeKey(key_id=paused.key_id, user_id=2, status="paused"))
    assert await desk.check(live.token) == 200
    for token in (live.token, live.token, paused.token, mint().token, "x", "", "é" * 100):
        assert await report(desk, json={"token": token}) == 202
    assert await desk.check(live.token) == 401
    rows = await desk.sql(
        "SELECT status, end_reason FROM api_keys WHERE key_id = ANY ($1)", [live.key_id, paused.key_id]
    )
    assert {tuple(row) for row in rows} == {("revoked", "leak_reported")}


async def test_a_guessed_id_ends_nothing(desk: Desk) -> None:
    """The whole key must be known."""
    key = await desk.make()
    forged = assemble_key("lk", "u", URL, key_id=key.key_id, secret="0" * SECRET_LENGTH)
    assert await report(desk, json={"token": forged.token}) == 202
    assert await desk.check(key.token) == 200


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"json": {}}, 400),
        ({"json": {"token": 5}}, 400),
        ({"json": {"token": "x", "more": 1}}, 400),
        ({"json": ["x"]}, 400),
        ({"data": b"token=x", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415),
    ],
)
async def test_only_such_an_object_is_a_report(desk: Desk, options: dict[str, Any], expected: int) -> None:
    """Everything else is told so."""
    assert await report(desk, **options) == expected
