"""Who did what to whom, when, from where: the lines of the audit, and what keeps strangers from filling it."""

from __future__ import annotations

from typing import Any

import pytest

from services.auth_api import audit
from services.auth_api.accounts.service import create_account
from services.auth_api.audit import RepeatedAct, count_act, own_act
from services.auth_api.rate_limit import Limit
from tests.harness.site import PASSWORD, Person
from tests.integration.auth_api.conftest import Registry, RegistryStarter

NEW = "another horse battery"


async def lines(registry: Registry, subject: str, action: str = "%") -> list[dict[str, Any]]:
    """The lines about somebody, in order."""
    rows = await registry.sql(
        "SELECT * FROM auth.audit WHERE subject = $1 AND action LIKE $2 ORDER BY id", subject, action
    )
    return [dict(row) for row in rows]


async def sign_in(registry: Registry, username: str, password: str, peer: str) -> int:
    """The status of a sign-in as the proxy hands it on from a peer."""
    answer = await registry.site.http.post(
        "/api/v1/session",
        json={"username": username, "password": password},
        headers={"X-Forwarded-For": peer, "X-Request-ID": "request-of-the-test"},
    )
    return answer.status_code


async def test_a_sign_in_leaves_a_line_whatever_comes_of_it(start_registry: RegistryStarter) -> None:
    """Who, what, from where, by which request; of what is refused also why, in our words."""
    async with start_registry(TRUSTED_PROXIES="1") as registry:
        person = await registry.site.sign_up("Watched")
        me = f"user:{person.user_id}"
        assert await sign_in(registry, "Watched", PASSWORD, "203.0.113.7") == 200
        assert await sign_in(registry, "watched", "wrong password", "203.0.113.8") == 401
        await registry.sql("UPDATE auth.users SET disabled_on = 1")
        assert await sign_in(registry, "Watched", PASSWORD, "203.0.113.7") == 401
        created, started, wrong, disabled = await lines(registry, me)
        assert (created["actor"], created["action"]) == ("sign-up", "user.created")
        assert created["peer"] == "127.0.0.1"
        assert (started["actor"], started["action"], started["peer"]) == (
            me,
            "session.started",
            "203.0.113.7",
        )
        assert started["request_id"] == "request-of-the-test"
        refused = ("anonymous", "session.refused")
        assert (wrong["actor"], wrong["action"]) == (disabled["actor"], disabled["action"]) == refused
        assert (wrong["peer"], wrong["detail"]) == ("203.0.113.8", "wrong password")
        assert (disabled["peer"], disabled["detail"]) == ("203.0.113.7", "disabled")
        now = registry.resources.clock.now()
        assert all(now - 60_000 < line["happened_on"] <= now + 1000 for line in (started, wrong))


async def test_a_name_that_no_account_has_is_not_repeated(registry: Registry) -> None:
    """People type passwords into the wrong field: it says that there was no such account."""
    await registry.site.http.post(
        "/api/v1/session", json={"username": "my-secret-pass", "password": "also secret"}
    )
    (line,) = await lines(registry, "unknown")
    assert (line["action"], line["detail"]) == ("session.refused", "no account")
    everything = str(await registry.sql("SELECT * FROM auth.audit"))
    assert "my-secret-pass" not in everything
    assert "also secret" not in everything


async def test_the_same_again_is_counted(registry: Registry) -> None:
    """One line for what the same peer does in an hour, however often."""
    person = await registry.site.sign_up()
    for _ in range(5):
        await person.sign_in(person.username, "wrong password")
        await person.sign_in(person.username)
    me = f"user:{person.user_id}"
    (refused,) = await lines(registry, me, "session.refused")
    (started,) = await lines(registry, me, "session.started")
    assert (refused["times"], started["times"]) == (5, 5)


async def test_what_a_person_does_to_the_account_leaves_a_line(registry: Registry) -> None:
    """Sessions ended, the password changed or not, by whom and from where."""
    person = await registry.site.sign_up()
    other = await registry.site.visitor()
    await other.sign_in(person.username)
    sessions = "/api/v1/account/sessions"
    (_, there) = (await person.http.get(sessions)).json()
    await person.http.delete(f"{sessions}/{there['sessionID']}")
    await person.http.delete(sessions)
    await person.http.post("/api/v1/account/password", json={"current": "wrong password", "new": NEW})
    await person.http.post("/api/v1/account/password", json={"current": PASSWORD, "new": NEW})
    await person.http.delete("/api/v1/session")
    found = await lines(registry, f"user:{person.user_id}")
    me = f"user:{person.user_id}"
    assert [(line["actor"], line["action"]) for line in found] == [
        ("sign-up", "user.created"),
        (me, "session.started"),
        (me, "session.ended"),
        (me, "sessions.ended"),
        ("anonymous", "user.password-refused"),
        (me, "user.password-changed"),
    ]
    assert [line["times"] for line in found] == [1, 1, 2, 1, 1, 1], "signing out is a session ended, too"
    assert {line["peer"] for line in found} == {"127.0.0.1"}
    assert all(line["request_id"] for line in found)
    assert NEW not in str(found)
    assert PASSWORD not in str(found)


async def test_strangers_fill_no_audit(
    start_registry: RegistryStarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From however many peers: beyond the budget refusals share a line, and are counted all the same."""
    monkeypatch.setattr(audit, "REFUSED_LINES", Limit("audit-refused", burst=5, interval_ms=3_600_000))
    monkeypatch.setattr(audit, "OWN_LINES", Limit("audit-own", burst=5, interval_ms=3_600_000))
    async with start_registry() as registry:
        for number in range(40):
            peer = f"203.0.113.{number}"
            act = RepeatedAct("anonymous", "session.refused", "user:7", peer, "wrong password")
            await count_act(registry.resources, act)
            await count_act(registry.resources, own_act(7, "session.started", peer))
        rows = await registry.sql("SELECT action, subject, peer, times FROM auth.audit ORDER BY id")
    for action, shared in (("session.refused", "unknown"), ("session.started", "user:7")):
        found = [row for row in rows if row["action"] == action]
        assert sum(row["times"] for row in found) == 40
        assert len(found) <= 7
        (rest,) = [row for row in found if row["peer"] == "many"]
        assert (rest["subject"], rest["times"] >= 33) == (shared, True)


async def test_a_sign_in_that_cannot_be_noted_is_none(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No session without its line: what the audit cannot take is 503."""
    account = await create_account(registry.resources, "Unnoted", PASSWORD, actor="test")
    await registry.sql("ALTER TABLE auth.audit RENAME TO audit_away")
    try:
        visitor: Person = await registry.site.visitor()
        answer = await visitor.sign_in("Unnoted")
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (503, False)
    finally:
        await registry.sql("ALTER TABLE auth.audit_away RENAME TO audit")
    assert await lines(registry, f"user:{account.user_id}", "session.started") == []
