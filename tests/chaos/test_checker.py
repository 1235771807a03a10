"""The checker notices each broken promise; a checker that cannot fail proves nothing."""

from __future__ import annotations

from tests.chaos.checker import violations
from tests.chaos.history import Fault, History, Operation, Story


def story(*operations: Operation) -> History:
    """A history with one code."""
    return History([Story("abcdefgh", 0.0, list(operations))])


def exchange(began: float, status: int, token: str = "", error: str = "", key: str = "") -> Operation:
    """A try that takes a tenth of a second."""
    return Operation("exchange", "auth-api-1", began, began + 0.1, status, error, token, key)


def verify(began: float, status: int, token: str = "t") -> Operation:
    """A check."""
    return Operation("verify", "key-issuer-1", began, began + 0.01, status, token=token)


def revoke(began: float, status: int, token: str = "t") -> Operation:
    """A revocation."""
    return Operation("revoke", "auth-api-1", began, began + 0.1, status, token=token)


def test_an_ordinary_story_is_fine() -> None:
    """Exchange, check, revoke, refused."""
    assert violations(story(exchange(1, 200, "t"), verify(2, 200), revoke(3, 200), verify(5, 401))) == []


def test_two_keys_of_one_code_are_noticed() -> None:
    """Also when both answers were 200 in a race."""
    assert violations(story(exchange(1, 200, "t"), exchange(1, 200, "u")))


def test_a_key_that_is_refused_without_a_reason_is_noticed() -> None:
    """A 200 must survive."""
    assert violations(story(exchange(1, 200, "t"), verify(2, 401)))


def test_a_key_that_lives_on_is_noticed() -> None:
    """After a second everywhere; five where a store was down; and for ever after that."""
    history = story(exchange(1, 200, "t"), revoke(2, 200), verify(4, 200))
    assert violations(history)
    history.faults.append(Fault("stall", "valkey", 1.0, 3.0))
    assert violations(history) == []
    history.stories[0].operations.append(verify(20, 200))
    assert violations(history)


def test_a_replay_kills_and_must() -> None:
    """A second presentation may end the key at once, and has ended it when it was refused."""
    replayed = (exchange(1, 200, "t"), exchange(3, 400, error="invalid_grant"))
    assert violations(story(*replayed, verify(6, 401))) == []
    assert violations(story(*replayed, verify(6, 200)))


def test_a_retry_with_the_same_idempotency_key_is_no_replay() -> None:
    """It may only give the same key, which lives."""
    first, again = exchange(1, 0, key="k"), exchange(2, 200, "t", key="k")
    assert violations(story(first, again, verify(3, 200))) == []
    assert violations(story(exchange(1, 200, "t", key="k"), exchange(2, 200, "t", key="k"), verify(3, 401)))


def test_a_refusal_needs_a_reason() -> None:
    """An untouched, fresh code of a healthy Redis is never refused; nor is 500 ever explained."""
    refused = story(exchange(1, 400, error="invalid_grant"))
    assert violations(refused)
    refused.faults.append(Fault("kill", "valkey", 0.2, 0.8))
    assert violations(refused) == []
    assert violations(story(exchange(1, 500)))


def test_the_loser_of_a_race_may_be_refused() -> None:
    """While the other try is under way, whatever becomes of that; once it was answered 503, the code is good again."""
    refused = exchange(1.05, 400, error="invalid_grant")
    assert violations(story(exchange(1, 503), refused)) == []
    assert violations(story(exchange(0.5, 503), refused))
