"""The verifier's memory: never stale, bounded, and deaf to what was read before the news."""

from __future__ import annotations

from services.key_issuer.cache import KeyCache
from services.key_issuer.records import LiveKey

DIGEST = b"d" * 32
FOREVER = float("inf")


class Time:
    """A clock that a test turns, and when the tail was last heard."""

    def __init__(self) -> None:
        self.now = 100.0
        self.heard_on = 100.0

    def pass_(self, seconds: float, *, deaf: bool = False) -> None:
        """Time passes; the tail is heard all the while unless it is ``deaf``."""
        self.now += seconds
        if not deaf:
            self.heard_on = self.now


def make(**bounds: int) -> tuple[KeyCache, Time]:
    """An empty memory and its clock."""
    time = Time()
    return KeyCache(lambda: time.now, lambda: time.heard_on, **bounds), time


def record(key_id: str = "k1") -> LiveKey:
    """A live key."""
    return LiveKey(key_id, 2, "b", "CX", ("p",), 0, None, used=True)


def test_what_was_stored_is_found_for_five_seconds() -> None:
    """The time to live is a hard deadline."""
    cache, time = make()
    assert cache.store(DIGEST, "k1", record(), cache.ticket(), FOREVER)
    time.pass_(4.9)
    assert cache.find(DIGEST) is not None
    time.pass_(0.1)
    assert cache.find(DIGEST) is None


def test_a_key_is_not_remembered_beyond_its_expiry() -> None:
    """The time to live is the shorter of both."""
    cache, time = make()
    cache.store(DIGEST, "k1", record(), cache.ticket(), 1.5)
    time.pass_(1.5)
    assert cache.find(DIGEST) is None


def test_an_unknown_key_is_remembered_for_a_second() -> None:
    """A flood of one wrong key costs one read a second."""
    cache, time = make()
    cache.store(DIGEST, "k1", None, cache.ticket(), FOREVER)
    time.pass_(0.9)
    found = cache.find(DIGEST)
    assert found is not None
    assert found.record is None
    time.pass_(0.1)
    assert cache.find(DIGEST) is None


def test_a_buried_key_is_forgotten_at_once() -> None:
    """All entries of its id go, and no other."""
    cache, _time = make()
    for number, key_id in enumerate(("k1", "k1", "k2")):
        cache.store(bytes([number]) * 32, key_id, record(key_id), cache.ticket(), FOREVER)
    assert cache.bury(["k1", "unknown"]) == 2
    assert cache.find(bytes([0]) * 32) is None
    assert cache.find(bytes([1]) * 32) is None
    assert cache.find(bytes([2]) * 32) is not None
    assert len(cache) == 1


def test_what_was_read_before_the_news_is_not_stored() -> None:
    """The row may be older than the revocation that arrived meanwhile: the reader must read again."""
    cache, _time = make()
    ticket = cache.ticket()
    cache.bury(["k1"])
    assert not cache.store(DIGEST, "k1", record(), ticket, FOREVER)
    assert cache.find(DIGEST) is None
    assert cache.store(DIGEST, "k1", record(), cache.ticket(), FOREVER)


def test_news_of_one_key_does_not_stop_another() -> None:
    """Reads of other keys are stored although something was buried meanwhile."""
    cache, _time = make()
    ticket = cache.ticket()
    cache.bury(["k2"])
    assert cache.store(DIGEST, "k1", record(), ticket, FOREVER)


def test_a_grave_lasts_twice_the_time_to_live() -> None:
    """Longer than any read can take."""
    cache, time = make()
    ticket = cache.ticket()
    cache.bury(["k1"])
    time.pass_(9.9)
    cache.bury(["k2"])
    assert not cache.store(DIGEST, "k1", record(), ticket, FOREVER)
    time.pass_(0.2)
    cache.bury(["k3"])
    assert len(cache._graves) == 2


def test_a_gap_empties_the_memory_and_refuses_what_was_read_before() -> None:
    """News may have been missed: nothing that was known before is believed."""
    cache, _time = make()
    ticket = cache.ticket()
    cache.store(DIGEST, "k1", record(), ticket, FOREVER)
    cache.forget_all()
    assert cache.find(DIGEST) is None
    assert len(cache) == 0
    assert not cache.store(DIGEST, "k1", record(), ticket, FOREVER)


def test_nothing_is_believed_while_the_tail_is_silent() -> None:
    """After three seconds without a completed read the time to live is zero; what is heard again counts again."""
    cache, time = make()
    cache.store(DIGEST, "k1", record(), cache.ticket(), FOREVER)
    time.pass_(2.9, deaf=True)
    assert cache.find(DIGEST) is not None
    time.pass_(0.1, deaf=True)
    assert cache.find(DIGEST) is None
    time.heard_on = time.now
    assert cache.find(DIGEST) is not None


def test_the_memory_is_bounded() -> None:
    """The oldest leave; live and unknown ones have their own room."""
    cache, _time = make(live_entries=10, unknown_entries=3)
    for number in range(50):
        cache.store(number.to_bytes(32), f"k{number}", record(), cache.ticket(), FOREVER)
        cache.store((1000 + number).to_bytes(32), f"u{number}", None, cache.ticket(), FOREVER)
    assert len(cache) == 13
    assert cache.find((49).to_bytes(32)) is not None
    assert cache.find((40).to_bytes(32)) is not None
    assert cache.find((39).to_bytes(32)) is None
    assert len(cache._digests) == 13


def test_what_is_over_is_not_kept_for_long() -> None:
    """Entries past their deadline leave as new ones come."""
    cache, time = make()
    for number in range(20):
        cache.store(number.to_bytes(32), f"k{number}", record(), cache.ticket(), FOREVER)
    time.pass_(5)
    cache.store(DIGEST, "k", record(), cache.ticket(), FOREVER)
    assert len(cache) == 1


def test_a_key_that_comes_alive_replaces_its_unknown_entry() -> None:
    """And the other way round: one digest has one entry."""
    cache, _time = make()
    cache.store(DIGEST, "k1", None, cache.ticket(), FOREVER)
    cache.store(DIGEST, "k1", record(), cache.ticket(), FOREVER)
    found = cache.find(DIGEST)
    assert found is not None
    assert found.record is not None
    cache.store(DIGEST, "k1", None, cache.ticket(), FOREVER)
    found = cache.find(DIGEST)
    assert found is not None
    assert found.record is None
    assert len(cache) == 1
