"""What a process keeps of the revocations, and which events a listener gets from it."""

from __future__ import annotations

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.key_issuer import revocation_journal
from services.key_issuer.revocation_journal import KEYS_OF_AN_EVENT, Heard, RevocationJournal

_EVENT = re.compile(rb"(?:id: (.+)\n)?event: (.+)\ndata: (.+)\n\n")
Told = list[tuple[str, str, list[str]]]


def journal_of(*sizes: int) -> RevocationJournal:
    """Entries ``0``, ``1``, … with so many keys."""
    journal = RevocationJournal()
    for number, size in enumerate(sizes):
        journal.append(Heard(str(number), tuple(f"{number}.{key}" for key in range(size))))
    return journal


def told(events: bytes) -> Told:
    """Id, name and keys of each."""
    found = _EVENT.findall(events)
    assert (
        b"".join(b"%bevent: %b\ndata: %b\n\n" % (b"id: %b\n" % i if i else b"", n, d) for i, n, d in found)
        == events
    )
    return [(id_.decode(), name.decode(), orjson.loads(data).get("keyIDs", [])) for id_, name, data in found]


def test_entries_go_together_under_the_place_of_the_last() -> None:
    """Also a heartbeat behind them; alone it is told as one."""
    journal = journal_of(1, 2, 0)
    assert told(journal.events_since(0)) == [("2", "invalidate", ["0.0", "1.0", "1.1"])]
    assert told(journal.events_since(1)) == [("2", "invalidate", ["1.0", "1.1"])]
    assert told(journal.events_since(2)) == [("2", "heartbeat", [])]
    assert told(journal.reset()) == [("2", "reset", [])]


def test_an_entry_with_too_many_keys_is_told_whole_before_its_place_counts() -> None:
    """Who is cut off in the middle of it hears it again."""
    journal = journal_of(0, 2 * KEYS_OF_AN_EVENT + 1)
    places = [(place, len(keys)) for place, _name, keys in told(journal.events_since(1))]
    assert places == [("0", KEYS_OF_AN_EVENT), ("0", KEYS_OF_AN_EVENT), ("1", 1)]


@given(st.lists(st.sampled_from([0, 1, 400, 999, 1000, 1001, 2500]), min_size=1, max_size=4), st.data())
def test_whoever_comes_back_to_any_place_misses_nothing(sizes: list[int], data: st.DataObject) -> None:
    """Whatever was the last event that arrived, what follows its place holds every key that was not told before."""
    journal = journal_of(*sizes)
    every = [key for number, size in enumerate(sizes) for key in (f"{number}.{at}" for at in range(size))]
    events = told(journal.events_since(0))
    assert [key for _place, _name, keys in events for key in keys] == every
    assert all(len(keys) <= KEYS_OF_AN_EVENT for _place, _name, keys in events)
    cut = data.draw(st.integers(1, len(events)))
    heard = {key for _place, _name, keys in events[:cut] for key in keys}
    place = events[cut - 1][0] or None
    number = journal.after(place)
    rest = [] if number == journal.end else told(journal.events_since(number or 0))
    assert heard | {key for _place, _name, keys in rest for key in keys} == set(every)


def test_the_oldest_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by keys; a place is known as long as its entry is kept."""
    monkeypatch.setattr(revocation_journal, "MOST_ENTRIES", 3)
    monkeypatch.setattr(revocation_journal, "MOST_KEYS", 10)
    journal = journal_of(0, 0, 0, 0)
    assert [journal.after(str(number)) for number in range(4)] == [None, 2, 3, 4]
    journal = journal_of(6, 6)
    assert [journal.after(str(number)) for number in range(2)] == [None, 2]
    journal = journal_of(11)
    assert journal.after("0") == 1  # the newest stays, or nobody had a place
    assert journal.after(None) is None


def test_a_past_that_goes_on_from_the_last_entry_is_followed() -> None:
    """What is known already is not taken twice."""
    journal = journal_of(1, 1)
    past = [Heard("0", ("0.0",)), Heard("1", ("1.0",)), Heard("2", ("2.0",))]
    assert journal.follow(past)
    assert told(journal.events_since(0)) == [("2", "invalidate", ["0.0", "1.0", "2.0"])]


@pytest.mark.parametrize("past", [[], [Heard("0", ())], [Heard("7", ("7.0",))]])
def test_a_past_without_the_last_entry_begins_anew(past: list[Heard]) -> None:
    """No place from before counts, but those that the broadcast still holds do."""
    journal = journal_of(1, 1)
    assert not journal.follow(past)
    assert journal.after("1") is None
    assert [journal.after(heard.place) for heard in past] == [
        journal.begin + 1 + at for at in range(len(past))
    ]
    assert journal.end >= 2  # numbers never repeat
