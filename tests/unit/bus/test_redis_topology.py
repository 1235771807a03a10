"""Where keys live in a Redis Cluster."""

from __future__ import annotations

import pytest

from shared.redis.connection import Argument
from shared.redis.topology import key_of, slot_of


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        # Vectors of the specification of Redis Cluster, and what CLUSTER KEYSLOT says of the others.
        ("123456789", 12739),
        ("foo", 12182),
        ("{foo}bar", 12182),
        (b"bar{foo}{zap}", 12182),
        ("{}foo", 9500),
        ("foo{", 7673),
        ("lk:{key_issuer:0}:commands", 5767),
    ],
)
def test_the_slot_of_a_key_is_that_of_its_hash_tag(key: str | bytes, slot: int) -> None:
    """CRC16 modulo 16384; an empty tag is none."""
    assert slot_of(key) == slot


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "k"), "k"),
        (("xadd", b"k", "*", "a", "b"), b"k"),
        (("EVALSHA", "sha", 2, "k", "l", "arg"), "k"),
        (("EVAL", "return 1", 0), None),
        (("XGROUP", "CREATE", "k", "g", "0"), "k"),
        (("XINFO", "STREAM", "k"), "k"),
        (("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "k", ">"), "k"),
        (("PING",), None),
        (("TIME",), None),
        (("CLIENT", "ID"), None),
    ],
)
def test_a_command_goes_where_its_key_is(command: tuple[Argument, ...], key: str | bytes | None) -> None:
    """Or anywhere."""
    assert key_of(command) == key
