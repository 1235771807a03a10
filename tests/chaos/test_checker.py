"""The checker notices each broken promise; a checker that cannot fail proves nothing."""

from __future__ import annotations

from pathlib import Path

from shared.secret_tokens import digest_of
from tests.chaos.checker import digested, stranded, unreceived, violations
from tests.chaos.cluster import PROGRAMS
from tests.chaos.history import Fault, History, Operation, Story

CODE = "abcdefgh"
DIGEST = digest_of(CODE)
TOKEN = "lku_inst_kid1_secret"


def story(*operations: Operation) -> History:
    """A history with one code."""
    return History([Story(CODE, 0.0, list(operations))])


def exchange(began: float, status: int, token: str = "", error: str = "", key: str = "") -> Operation:
    """A try that takes a tenth of a second."""
    return Operation("exchange", "auth-api-1", began, began + 0.1, status, error, token, key)


def verify(began: float, status: int, token: str = "t") -> Operation:
    """A check."""
    return Operation("verify", "key-issuer-1", began, began + 0.01, status, token=token)


def revoke(began: float, status: int, token: str = "t") -> Operation:
    """A revocation."""
    return Operation("revoke", "auth-api-1", began, began + 0.1, status, token=token)


def listing(began: float, *, listed: bool) -> Operation:
    """A look at the list of keys."""
    return Operation("list", "auth-api-1", began, began + 0.01, 200, token="t", listed=listed)


def rotate(began: float, status: int, token: str = "") -> Operation:
    """A try to rotate, always with the same Idempotency-Key."""
    return Operation("rotate", "auth-api-1", began, began + 0.1, status, token=token, idempotency_key="k")


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
    refused.faults.append(Fault("kill", "valkey", -5.0, 0.8))
    assert violations(refused), "what was written after a Redis died is not lost with it"
    refused.faults.append(Fault("kill", "valkey", 0.2, 0.8))
    assert violations(refused) == []
    assert violations(story(exchange(1, 500)))


def test_the_loser_of_a_race_may_be_refused() -> None:
    """While the other try is under way, whatever becomes of that; once it was answered 503, the code is good again."""
    refused = exchange(1.05, 400, error="invalid_grant")
    assert violations(story(exchange(1, 503), refused)) == []
    given_up = story(exchange(0.5, 503), refused)
    assert violations(given_up)
    given_up.faults.append(Fault("stop", "auth-api-1", 0.4, 9.0))
    assert violations(given_up) == [], "who was to give it back is gone"


def test_a_key_that_is_not_listed_at_once_is_noticed() -> None:
    """Read-your-writes; a list that could not be read says nothing."""
    assert violations(story(exchange(1, 200, "t"), listing(2, listed=True))) == []
    assert violations(story(exchange(1, 200, "t"), listing(2, listed=False)))
    assert violations(story(exchange(1, 200, "t"), Operation("list", "auth-api-1", 2, 3, 503))) == []


def test_a_key_first_used_much_later_must_work() -> None:
    """Whatever was killed meanwhile."""
    history = story(exchange(1, 200, "t"), verify(58, 401))
    history.faults.append(Fault("kill", "auth-api-1", 1.1, 3.0))
    assert violations(history)


def test_a_verifier_that_hears_nothing_must_notice() -> None:
    """Where Redis refuses writes four seconds are enough, though a verifier was killed shortly before."""
    history = story(exchange(1, 200, "t"), revoke(5, 202), verify(10, 200))
    history.faults += [Fault("kill", "key-issuer-1", 1.0, 3.0), Fault("refuse", "valkey", 4.0, 10.5)]
    assert violations(history)
    history = story(exchange(1, 200, "t"), revoke(5, 202), verify(9, 200))
    history.faults.append(Fault("refuse", "valkey", 4.0, 10.5))
    assert violations(history) == []


def test_a_program_behind_an_sdk_has_five_seconds() -> None:
    """Its verifier may notice after three that it hears nothing, and the SDK remembers for two what it said until then."""
    faults = [Fault("refuse", "valkey", 4.0, 12.5)]
    history = story(exchange(1, 200, "t"), revoke(5, 202), verify(10, 200))
    history.stories[0].operations[-1].target = PROGRAMS[0]
    history.faults += faults
    assert violations(history) == []
    history.stories[0].operations.append(verify(11.5, 200))
    history.stories[0].operations[-1].target = PROGRAMS[0]
    assert violations(history)


def test_a_rotation_that_gives_no_key_is_noticed() -> None:
    """It may take long; in the end its holder has the new key, the same every time."""
    assert stranded(story(rotate(1, 0), rotate(2, 503)))
    assert stranded(story(rotate(1, 0), rotate(2, 503), rotate(3, 200, "t"))) == []
    assert violations(story(rotate(1, 200, "t"), rotate(3, 200, "u")))


def test_a_row_that_should_not_live_is_noticed() -> None:
    """Two of one code, or one whose code was given back; one whose requester died is held by nobody, and may live."""
    given = story(exchange(1, 503), exchange(3, 200, TOKEN))
    assert unreceived(given, [("kid1", DIGEST), ("other", None)]) == []
    assert unreceived(given, [("kid1", DIGEST), ("kid2", DIGEST)])
    given_up = story(exchange(1, 503))
    assert unreceived(given_up, [("kid2", DIGEST)])
    given_up.faults.append(Fault("kill", "auth-api-1", 2.0, 4.0))
    assert unreceived(given_up, [("kid2", DIGEST)]) == []
    assert unreceived(story(exchange(1, 0)), [("kid2", DIGEST)]) == []


def test_a_history_can_be_judged_again(tmp_path: Path) -> None:
    """From its file; and what is broken is counted by its kind."""
    history = story(exchange(1, 200, "t"), verify(2, 401), verify(3, 401))
    history.faults.append(Fault("kill", "valkey", 0.2, 0.8))
    history.write(tmp_path / "history.json")
    assert History.read(tmp_path / "history.json") == history
    assert "    2  a key that was handed out was refused by …" in digested(violations(history))
