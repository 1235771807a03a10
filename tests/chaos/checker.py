"""The checker: a pure function from a history to the list of broken promises."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from shared.secret_tokens import digest_of
from tests.chaos.cluster import PROGRAMS, STORES
from tests.chaos.history import LOST, History, Operation, Story

CODE_SECONDS: Final = 60.0
RECOVERY_SECONDS: Final = 12.0
"""A store that was killed is ready again by then, and so is who depends on it."""
LOSS_SECONDS: Final = 2.0
"""What Redis was told so long before its death it may have forgotten (`appendfsync everysec`)."""
RELEASE_SECONDS: Final = 20.0
"""So long after its 503 an auth_api may still be trying to reach Redis, and take with it into death what it had to say."""
REVOKED_WITHIN: Final = 1.0
REVOKED_WITHIN_WHEN_REFUSED: Final = 4.0
"""Where Redis refuses writes a verifier hears nothing for 3 s, notices that, and asks PostgreSQL from then on."""
REVOKED_WITHIN_WHEN_DISTURBED: Final = 5.0

_OK: Final = 200
_ENDED: Final = (200, 202, 204)
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


def digested(broken: Sequence[str], samples: int = 3) -> str:
    """How many there are of each kind, and the first of each."""
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for each in broken:
        said = each.partition("\n")[0].rpartition("…: ")[2]
        kinds[re.sub(r"\b(?:key|code) [0-9A-Za-z]{8,}|[0-9.]+ s\b|[a-z]+-[a-z]+-[12]", "…", said)].append(
            each
        )
    counts = [f"{len(found):5}  {kind}" for kind, found in kinds.items()]
    return "\n".join(
        [
            f"{len(broken)} violations",
            *counts,
            *(each for found in kinds.values() for each in found[:samples]),
        ]
    )


def _retold(history: History, story: Story) -> str:
    """What happened to a code and around it, a line each, by seconds since it was given."""
    ended = max((operation.ended for operation in story.operations), default=story.given)
    told = [
        (
            each.began,
            each.ended,
            f"{each.step} by {each.target}: {each.status} {each.error} {each.token[:14]}".rstrip(),
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
        if operation.status not in (*_ENDED, LOST, _UNAVAILABLE, *_REFUSED):
            yield f"unexplained {operation.status} {operation.error} for {operation.step}"
    yield from _refused_exchanges(history, story)
    yield from _unlisted(story)
    for token in story.tokens:
        yield from _checks_of(history, story, token)


def _at_most_one_key(story: Story) -> Iterator[str]:
    """Promise 1: one code, at most one key; the only key that may come twice is the same one."""
    if len(story.tokens) > 1:
        yield f"gave {len(story.tokens)} different keys"


def _refused_exchanges(history: History, story: Story) -> Iterator[str]:
    """A refusal needs a reason: a try that may have spent the code, its age, or a Redis that lost it.

    A try that was answered 503 has given the code back by then, or dies before it can; one that was still under way had
    not. A rotation is never refused: its holder would be left without a key.
    """
    exchanges = story.of("exchange")
    for operation in exchanges:
        if operation.status not in _REFUSED:
            continue
        if operation.error != "invalid_grant":
            yield f"refused with {operation.status} {operation.error}"
        earlier = [each for each in exchanges if each is not operation and each.began <= operation.ended]
        spent = any(
            each.status != _UNAVAILABLE or each.ended >= operation.began or _dies_after(history, each)
            for each in earlier
        )
        old = operation.ended - story.given > CODE_SECONDS - 1
        if not (spent or old or history.lost(story.given - LOSS_SECONDS, operation.ended)):
            yield "was refused although nothing had spent it"


def _unlisted(story: Story) -> Iterator[str]:
    """Read-your-writes: whoever was given a key finds it in the next list."""
    for operation in story.of("list"):
        if operation.status == _OK and not operation.listed:
            yield f"a key that was handed out was not in the next list, read at {operation.target}"


def stranded(history: History) -> list[str]:
    """Rotations that were tried until the end, in peace too, and gave nobody a key."""
    return [
        f"a rotation left its holder without a key\n{_retold(history, story)}"
        for story in history.stories
        if story.of("rotate") and not story.tokens
    ]


def unreceived(history: History, rows: Iterable[tuple[str, str | None]]) -> list[str]:
    """Live rows (key id, hex digest of the code) that should not be: two of one code, or one that was given up.

    A key whose requester never heard anything may live, as nobody holds it; where 503 was said it may not, unless
    the one who said so, or Redis, died before it could take the key back.
    """
    stories = {digest_of(story.code): story for story in history.stories}
    received = {token.split("_")[2] for story in history.stories for token in story.tokens}
    broken, seen = [], set()
    for key_id, digest in rows:
        if digest is None:
            continue
        if digest in seen:
            broken.append(f"code {digest[:8]} has two live rows")
        seen.add(digest)
        story = stories.get(digest)
        if key_id not in received and (story is None or not _may_be_alone(history, story)):
            told = "" if story is None else f"\n{_retold(history, story)}"
            broken.append(f"key {key_id} lives though it was given up{told}")
    return broken


def _may_be_alone(history: History, story: Story) -> bool:
    """Whether a key of this code may live that nobody was given."""
    return any(
        operation.status == LOST or _dies_after(history, operation, "valkey") for operation in story.tries
    )


def _dies_after(history: History, operation: Operation, *others: str) -> bool:
    """Whether who answered was killed or stopped, cut off from Redis, before it must have said what it had to."""
    return any(
        fault.kind in ("kill", "stop") and fault.target in (operation.target, *others)
        for fault in history.during(operation.began, operation.ended + RELEASE_SECONDS)
    )


def _checks_of(history: History, story: Story, token: str) -> Iterator[str]:
    """Promises 3 and 4: a key that was handed out works until it is taken back, and never after."""
    for check in story.of("verify"):
        if check.token != token or check.status in (LOST, _UNAVAILABLE):
            continue
        dead_from, may_die_from = _ends(history, story, token, check.target)
        if check.status == _OK and check.began > dead_from:
            yield f"a key taken back was accepted by {check.target} {check.began - dead_from:.2f} s too late"
        if check.status in _REFUSED and check.ended < may_die_from:
            yield f"a key that was handed out was refused by {check.target}"


def _ends(history: History, story: Story, token: str, verifier: str) -> tuple[float, float]:
    """When the key must be dead at a verifier or program, and from when on it may be."""
    dead_from = may_die_from = float("inf")
    for revoke in story.of("revoke"):
        if revoke.token == token:
            may_die_from = min(may_die_from, revoke.began)
            if revoke.status in _ENDED:
                dead_from = min(dead_from, revoke.ended + _bound(history, revoke, verifier))
    first = next(each for each in story.tries if each.token == token)
    for other in story.of("exchange"):
        if other is first or (other.idempotency_key and other.idempotency_key == first.idempotency_key):
            continue
        # Another presentation of the code, without the first one's Idempotency-Key, is a replay.
        if other.ended >= first.began:
            may_die_from = min(may_die_from, max(first.began, other.began))
        if other.began > first.ended and other.status in _REFUSED:
            dead_from = min(dead_from, other.ended + _bound(history, other, verifier))
    return dead_from, may_die_from


def _bound(history: History, operation: Operation, verifier: str) -> float:
    """An SDK may believe for two seconds what a verifier that hears nothing told it in its third."""
    refusals = [
        fault
        for fault in history.during(operation.began - LOSS_SECONDS, operation.ended + LOSS_SECONDS)
        if fault.kind == "refuse"
    ]
    if verifier not in PROGRAMS and any(fault.began <= operation.began <= fault.ended for fault in refusals):
        return REVOKED_WITHIN_WHEN_REFUSED
    disturbed = history.disturbed(
        operation.began - RECOVERY_SECONDS, operation.ended + RECOVERY_SECONDS, *_STORES_AND_VERIFIERS
    )
    return REVOKED_WITHIN_WHEN_DISTURBED if disturbed or refusals else REVOKED_WITHIN


_STORES_AND_VERIFIERS: Final = (*STORES, "key-issuer-1", "key-issuer-2", *PROGRAMS)


if __name__ == "__main__":
    kept = History.read(Path(sys.argv[1]))
    sys.stdout.write(digested(violations(kept) + stranded(kept)) + "\n")
