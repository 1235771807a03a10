"""The envelope of a message: what is written, what is read, and that what was stored once stays readable."""

from __future__ import annotations

import uuid

import pytest

from shared.contracts.messages import (
    LARGEST_BODY,
    BadEnvelopeError,
    Envelope,
    MessageIds,
    MessageTooLarge,
    format_uuid7,
    read_fields,
)

FULL = Envelope(
    id="019ab3c4-0000-7000-8000-000000000001",
    type="key.issue",
    source="auth_api",
    created_on=1_795_456_269_000,
    body=b'{"key_id":"x"}',
    expires_on=1_795_456_271_500,
    reply_to="lk:{replies.auth_api.host.0a}",
    correlation="request-1",
    attempt=3,
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    tracestate="a=b",
)
LEAST = Envelope(id="x", type="key.revoked", source="key_issuer", created_on=1, body=b"{}")

# As version 1 has written them to streams. Entries like these may lie in a stream during every later upgrade.
STORED = {
    "command": [
        *b"v 1 id 019ab3c4-0000-7000-8000-000000000001 t key.issue src auth_api ts 1795456269000 exp 1795456271500"
        b" rt lk:{replies.auth_api.host.0a} cid request-1 n 3"
        b" tp 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 tst a=b d".split(),
        b'{"key_id":"x"}',
    ],
    "event": b"v 1 id x t key.revoked src key_issuer ts 1 n 1 d {}".split(),
}


def as_redis_has_it(envelope: Envelope) -> list[bytes]:
    """The fields as bytes."""
    return [field.encode() if isinstance(field, str) else field for field in envelope.to_fields()]


@pytest.mark.parametrize("envelope", [FULL, LEAST])
def test_what_is_written_is_read(envelope: Envelope) -> None:
    """Every field comes back; what is empty is not sent."""
    assert read_fields(as_redis_has_it(envelope)) == envelope


@pytest.mark.parametrize(("stored", "envelope"), [("command", FULL), ("event", LEAST)])
def test_what_version_1_has_stored_stays_readable(stored: str, envelope: Envelope) -> None:
    """An upgrade finds entries of the version before it."""
    assert read_fields(STORED[stored]) == envelope
    assert as_redis_has_it(envelope) == STORED[stored]


def test_a_reader_ignores_what_a_newer_writer_added() -> None:
    """Additive changes need no new major version."""
    assert read_fields([*STORED["event"], b"new", b"field"]) == LEAST


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("v", b"2"),
        ("v", b""),
        ("id", None),
        ("t", None),
        ("d", None),
        ("ts", b"soon"),
        ("exp", b"\xff"),
        ("t", b"\xff"),
    ],
)
def test_what_is_no_envelope_is_told_apart(field: str, value: bytes | None) -> None:
    """A missing or malformed field, or another major version, is a reason for the dead letters."""
    fields = dict(zip(STORED["command"][::2], STORED["command"][1::2], strict=True))
    if value is None:
        del fields[field.encode()]
    else:
        fields[field.encode()] = value
    with pytest.raises(BadEnvelopeError):
        read_fields([part for pair in fields.items() for part in pair])


@pytest.mark.parametrize("flat", [[], [b"v"], [b"v", b"1"], [b"nothing", b"known"]])
def test_foreign_entries_are_told_apart(flat: list[bytes]) -> None:
    """Whatever somebody else has put into the stream."""
    with pytest.raises(BadEnvelopeError):
        read_fields(flat)


def test_a_body_above_64_kib_is_refused_where_it_is_written() -> None:
    """The bus is no place for large things."""
    Envelope("x", "t", "s", 1, b"x" * LARGEST_BODY).to_fields()
    with pytest.raises(MessageTooLarge):
        Envelope("x", "t", "s", 1, b"x" * (LARGEST_BODY + 1)).to_fields()


def test_message_ids_are_uuids_of_version_7_in_the_order_of_time() -> None:
    """RFC 9562 §5.7: time first; none comes twice."""
    ids = MessageIds()
    made = [ids.new(1_795_456_269_000 + number) for number in range(1000)]
    assert sorted(made) == made
    assert len({*made, *(ids.new(5) for _ in range(1000))}) == 2000
    for each in made:
        parsed = uuid.UUID(each)
        assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, each)
    assert int(made[0].replace("-", "")[:12], 16) == 1_795_456_269_000


def test_an_id_can_be_derived_so_that_it_is_the_same_on_every_retry() -> None:
    """The relay makes an event's id from its row."""
    assert format_uuid7(1_795_456_269_000, 7) == format_uuid7(1_795_456_269_000, 7)
    assert format_uuid7(1, 7) != format_uuid7(1, 8)
    assert uuid.UUID(format_uuid7(2**48 - 1, 2**74 - 1)).version == 7
