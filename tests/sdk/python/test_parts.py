"""The parts of the guard by themselves: the form of a key, the header, the events, the memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchkey_sdk import Key, Refused, _memory
from latchkey_sdk._events import LONGEST_EVENT, BadStreamError, EventParser, ServerEvent
from latchkey_sdk._header import bearer_key
from latchkey_sdk._key import LONGEST_KEY, looks_like_a_key
from latchkey_sdk._memory import KeyMemory, Learnt
from services.key_issuer import verification
from shared.api_key import SERVICE_KEY, USER_KEY, mint_key, parse_key
from tests.harness.growth import grows_too_fast

KEY = Key("kid", 2, "b", None, None, frozenset())


@given(
    prefix=st.text("abcz", min_size=2, max_size=4),
    kind=st.sampled_from([USER_KEY, SERVICE_KEY]),
    drawn=st.binary(min_size=64, max_size=64),
)
def test_the_form_of_keys_is_that_of_the_server(prefix: str, kind: str, drawn: bytes) -> None:
    """Every key that Latchkey may make for a person is let pass, with every prefix."""
    key = mint_key(prefix, kind, "http://latchkey.test", lambda count: (drawn * 9)[:count])
    assert len(key.token) <= LONGEST_KEY
    assert looks_like_a_key(key.token) is (kind == USER_KEY)


@given(text=st.text() | st.text("abu_Z09", max_size=90), place=st.integers(0, 78), letter=st.characters())
def test_nothing_else_has_it(text: str, place: int, letter: str) -> None:
    """What the server would turn away without a look at the table is turned away here."""
    key = mint_key("lk", USER_KEY, "http://latchkey.test").token
    changed = key[:place] + letter + key[place + 1 :]
    for each in (text, changed, key + letter):
        parsed = parse_key(each)
        assert looks_like_a_key(each) is (parsed is not None and parsed.kind == USER_KEY)


@pytest.mark.parametrize(
    ("values", "key"),
    [([], None), ([""], None), (["  "], None), (["Bearer"], None), (["Bearer "], None), (["Basic eDp5"], None), (["Bearer abc"], "abc"),
     (["bEARER  abc "], "abc"), (["", "Bearer abc"], "abc"), (["Bearer a, Bearer b"], "a, Bearer b"), (["Bearerabc"], None)],
)  # fmt: skip
def test_the_key_follows_the_scheme(values: list[str], key: str | None) -> None:
    """Another scheme is no key (RFC 6750 §3.1); an empty header is none."""
    assert bearer_key(values) == key


def test_two_keys_are_none() -> None:
    """As Latchkey's own check has it."""
    with pytest.raises(Refused) as caught:
        bearer_key(["Bearer a", "Bearer a"])
    assert (caught.value.status, caught.value.error) == (401, "invalid_token")


STREAM = (
    b": hello\n\nid: 1\nevent: reset\ndata: {}\n\n"
    b'id:2\r\nevent:invalidate\r\ndata: {"keyIDs":\r\ndata:  []}\r\n\r\n'
    b"data: no name\n\nretry: 1\nevent\n\nid: a\x00b\nevent: heartbeat\ndata: \xff\n\nevent: cut off\ndata: x\n"
)
EVENTS = [
    ServerEvent("reset", "{}", "1"),
    ServerEvent("invalidate", '{"keyIDs":\n []}', "2"),
    ServerEvent("heartbeat", "\ufffd", "2"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_events_are_the_same_however_they_are_cut(size: int) -> None:
    """Lines may end in either way; what is unfinished is no event."""
    parser = EventParser()
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert [event for piece in pieces for event in parser.feed(piece)] == EVENTS


def test_an_event_without_an_end_is_given_up() -> None:
    """It would fill the memory; many in a row are no trouble."""
    parser = EventParser()
    many = b"event: heartbeat\ndata: {}\n\n" * 100_000
    assert len(list(parser.feed(many))) == 100_000
    half = b"data: " + b"x" * (LONGEST_EVENT // 2)
    assert list(parser.feed(half)) == []
    with pytest.raises(BadStreamError):
        list(parser.feed(half))


@pytest.mark.parametrize("line", [b"x", b"data: x\n", b"event: x\ndata: {}\n\n"])
def test_reading_events_takes_time_in_proportion(line: bytes) -> None:
    """Also where they come byte by byte, and without an end."""

    def read(text: bytes) -> None:
        parser = EventParser()
        for at in range(len(text)):
            list(parser.feed(text[at : at + 1]))

    assert grows_too_fast(lambda size: line * (size // len(line)), read, 100_000) is None


def test_how_late_the_server_may_be_is_what_it_allows_itself() -> None:
    """Three seconds of it and two of ours are the five that are promised."""
    assert _memory.SERVER_LATE_SECONDS == verification.STALE_AFTER_SECONDS
    assert _memory.SERVER_LATE_SECONDS + _memory.UNHEARD_SECONDS <= 5
    assert LONGEST_KEY <= verification.LONGEST_KEY


class Memory:
    """A memory and its clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.memory = KeyMemory(lambda: self.now)

    def learn(self, asked_at: float, seconds: float = float("inf")) -> Learnt:
        """Takes in that the key was live."""
        return self.memory.learn(b"digest", KEY, asked_at, seconds)

    def knows(self) -> bool:
        """Whether the key would be accepted."""
        return self.memory.recall(b"digest") is not None


def test_what_was_asked_soon_after_a_reset_is_kept_for_two_seconds() -> None:
    """The process that answered may be three seconds behind the one that streams."""
    for after, kept in ((0.5, 2.0), (2.9, 2.0), (3.0, 60.0)):
        world = Memory()
        world.memory.forget_all()
        begun = world.now
        world.now = begun + after
        world.memory.hear(world.now)
        assert world.learn(world.now) is Learnt.USABLE
        world.now = begun + after + kept - 0.01
        world.memory.hear(world.now)
        assert world.knows()
        world.now += 0.02
        world.memory.hear(world.now)
        assert not world.knows()


def test_trust_ends_three_seconds_after_the_last_word_and_comes_back() -> None:
    """What is kept is not lost meanwhile: it counts again when the stream has told what was missed."""
    world = Memory()
    world.memory.hear(world.now)
    world.learn(world.now)
    world.now += 2.99
    assert world.knows()
    world.now += 0.01
    assert not world.knows()
    world.memory.hear(world.now)
    assert world.knows()


def test_the_age_of_an_answer_counts_from_the_question() -> None:
    """It may have been true then, and no longer when it arrived."""
    world = Memory()
    asked_at = world.now
    world.now += 1.5
    assert world.learn(asked_at) is Learnt.USABLE
    assert world.knows()
    world.now = asked_at + 2
    assert not world.knows()
    world.memory.hear(world.now)
    assert world.knows()
    world.now = asked_at + 60
    world.memory.hear(world.now)
    assert not world.knows()


def test_words_that_come_in_disorder_do_not_take_trust_back() -> None:
    """The newest counts."""
    world = Memory()
    world.memory.hear(world.now)
    world.memory.hear(world.now - 5)
    assert world.memory.alive
    world.memory.go_deaf()
    assert not world.memory.alive


def test_an_answer_from_before_an_invalidation_is_outdated() -> None:
    """Also at the very same moment; so is one from before a reset."""
    world = Memory()
    asked_at = world.now
    world.memory.forget(["kid"])
    assert world.learn(asked_at) is Learnt.OUTDATED
    world.now += 1
    assert world.learn(world.now) is Learnt.USABLE
    assert not world.knows()
    world.now += 2
    assert world.learn(world.now) is Learnt.USABLE
    assert world.knows()
    asked_at = world.now
    world.memory.forget_all()
    assert not world.knows()
    assert world.learn(asked_at) is Learnt.OUTDATED


def test_an_answer_that_took_two_seconds_is_late() -> None:
    """Unless the stream would have told."""
    world = Memory()
    asked_at = world.now
    world.now += 2
    assert world.learn(asked_at) is Learnt.LATE
    world.memory.hear(world.now)
    assert world.learn(asked_at) is Learnt.USABLE


def test_so_many_invalidations_that_they_cannot_be_noted_are_a_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The memory of them is bounded too, and old ones leave it."""
    monkeypatch.setattr(_memory, "_MOST_FORGOTTEN", 100)
    world = Memory()
    world.learn(world.now)
    world.memory.forget([f"old{number}" for number in range(100)])
    world.now += 60
    world.memory.hear(world.now)
    world.learn(world.now)
    world.memory.forget([f"new{number}" for number in range(100)])
    assert len(world.memory._forgotten) == 100
    assert world.knows()
    asked_at = world.now
    world.memory.forget(["one more"])
    assert len(world.memory._forgotten) == 0
    assert not world.knows()
    assert world.learn(asked_at) is Learnt.OUTDATED
