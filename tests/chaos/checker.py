"""The checker: a pure function from a history to the list of broken promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.history import LOST, History, Operation, Story

CODE_SECONDS: Final = 60.0
RECOVERY_SECONDS: Final = 12.0
"""A store that was killed is ready again by then, and so is who depends on it."""
REVOKED_WITHIN: Final = 1.0
REVOKED_WITHIN_WHEN_DISTURBED: Final = 5.0

_OK: Final = 200
_UNAVAILABLE: Final = 503
_REFUSED: Final = (400, 401)


def violations(history: History) -> list[str]:
    """Every broken promise, in words; empty when all were kept."""
    return [
        f"{story.code[:6]}…: {said}\n{_retold(history, story)}"
        for story in history.stories
        for said in _of_story(history, story)
    ] + [
        f"unexplained {operation.status} {operation.error} from {operation.target} for {operation.step}"
        for operation in history.other_failures
        if operation.status not in (LOST, _UNAVAILABLE)
    ]


def _retold(history: History, story: Story) -> str:
    """What happened to a code and around it, a line each, by seconds since it was given."""
    ended = max((operation.ended for operation in story.operations), default=story.given)
    told = [
        (
            each.began,
            each.ended,
            f"{each.step} by {each.target}: {each.status} {each.error} {each.token[:14]}",
        )
        for each in story.operations
    ] + [
        (fault.began, fault.ended, f"{fault.kind} {fault.target}")
        for fault in history.during(story.given - RECOVERY_SECONDS, ended)
    ]
    return "\n".join(
        f"    {began - story.given:7.2f} to {ended - story.given:6.2f}  {what}"
        for began, ended, what in sorted(told)
    )


def _of_story(history: History, story: Story) -> Iterator[str]:
    yield from _at_most_one_key(story)
    for operation in story.operations:
        if operation.status not in (_OK, LOST, _UNAVAILABLE, *_REFUSED):
            yield f"unexplained {operation.status} {operation.error} for {operation.step}"
    yield from _refused_exchanges(history, story)
    for token in story.tokens:
        yield from _checks_of(history, story, token)


def _at_most_one_key(story: Story) -> Iterator[str]:
    """Promise 1: one code, at most one key; the only key that may come twice is the same one."""
    if len(story.tokens) > 1:
        yield f"gave {len(story.tokens)} different keys"


def _refused_exchanges(history: History, story: Story) -> Iterator[str]:
    """A refusal needs a reason: a try that may have spent the code, its age, or a Redis that lost it.

    A try that was answered 503 has given the code back by then; one that was still under way had not.
    """
    exchanges = story.of("exchange")
    for operation in exchanges:
        if operation.status not in _REFUSED:
            continue
        if operation.error != "invalid_grant":
            yield f"refused with {operation.status} {operation.error}"
        earlier = [each for each in exchanges if each is not operation and each.began <= operation.ended]
        spent = any(each.status != _UNAVAILABLE or each.ended >= operation.began for each in earlier)
        old = operation.ended - story.given > CODE_SECONDS - 1
        forgotten = history.killed(story.given - RECOVERY_SECONDS, operation.ended, "valkey")
        if not (spent or old or forgotten):
            yield "was refused although nothing had spent it"


def _checks_of(history: History, story: Story, token: str) -> Iterator[str]:
    """Promises 3 and 4: a key that was handed out works until it is taken back, and never after."""
    dead_from, may_die_from = _ends(history, story, token)
    for check in story.of("verify"):
        if check.token != token or check.status in (LOST, _UNAVAILABLE):
            continue
        if check.status == _OK and check.began > dead_from:
            yield f"a key taken back was accepted by {check.target} {check.began - dead_from:.2f} s too late"
        if check.status in _REFUSED and check.ended < may_die_from:
            yield f"a key that was handed out was refused by {check.target}"


def _ends(history: History, story: Story, token: str) -> tuple[float, float]:
    """When the key must be dead, and from when on it may be."""
    dead_from = may_die_from = float("inf")
    for revoke in story.of("revoke"):
        if revoke.token == token:
            may_die_from = min(may_die_from, revoke.began)
            if revoke.status == _OK:
                dead_from = min(dead_from, revoke.ended + _bound(history, revoke))
    first = next(each for each in story.of("exchange") if each.token == token)
    for other in story.of("exchange"):
        if other is first or (other.idempotency_key and other.idempotency_key == first.idempotency_key):
            continue
        # Another presentation of the code, without the first one's Idempotency-Key, is a replay.
        if other.ended >= first.began:
            may_die_from = min(may_die_from, max(first.began, other.began))
        if other.began > first.ended and other.status in _REFUSED:
            dead_from = min(dead_from, other.ended + _bound(history, other))
    return dead_from, may_die_from


def _bound(history: History, operation: Operation) -> float:
    disturbed = history.disturbed(
        operation.began - RECOVERY_SECONDS,
        operation.ended + RECOVERY_SECONDS,
        "valkey",
        "postgres",
        *_VERIFIERS,
    )
    return REVOKED_WITHIN_WHEN_DISTURBED if disturbed else REVOKED_WITHIN


_VERIFIERS: Final = ("key-issuer-1", "key-issuer-2")
