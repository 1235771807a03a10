"""Names of streams: what one script or MULTI touches lies in one slot of a Redis Cluster."""

from __future__ import annotations

import re

from shared.bus import names
from shared.contracts.keys import IssueKey, RevokeKey


def slot_of(key: str) -> str:
    """The part that decides."""
    found = re.search(r"\{([^}]+)\}", key)
    assert found is not None
    return found[1]


def test_all_keys_of_a_queue_share_a_slot() -> None:
    """Redeeming a code appends to the command stream in one script; so do retries and dead letters."""
    keys = [
        names.commands("key_issuer"),
        names.delayed("key_issuer"),
        names.dead("key_issuer"),
        "lk:{key_issuer:0}:code:digest",
    ]
    assert {slot_of(key) for key in keys} == {"key_issuer:0"}


def test_every_right_to_the_first_stream_of_a_service_is_one_to_its_second() -> None:
    """Rights that were given before there was a second one (``~lk:{key_issuer:*``) are enough for it."""
    assert names.commands(RevokeKey.queue) == "lk:{key_issuer:first:0}:commands"
    assert {IssueKey.queue, RevokeKey.queue} < set(names.EVERY_QUEUE)


def test_an_event_stream_and_its_dead_letters_share_a_slot() -> None:
    """Burying is one script."""
    assert slot_of(names.event_stream("events.keys")) == slot_of(names.event_dead("events.keys"))
    assert names.event_stream("revocations") == "lk:{revocations}"
    assert names.replies("auth_api.host.0a") == "lk:{replies.auth_api.host.0a}"
