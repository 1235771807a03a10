"""Names of streams: what one script or MULTI touches lies in one slot of a Redis Cluster."""

from __future__ import annotations

import re

from shared.bus import names


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


def test_an_event_stream_and_its_dead_letters_share_a_slot() -> None:
    """Burying is one script."""
    assert slot_of(names.event_stream("events.keys")) == slot_of(names.event_dead("events.keys"))
    assert names.event_stream("revocations") == "lk:{revocations}"
    assert names.replies("auth_api.host.0a") == "lk:{replies.auth_api.host.0a}"
