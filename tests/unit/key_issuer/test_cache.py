"""The verifier's memory: never stale, bounded, and wary of what was read before an invalidation."""

from __future__ import annotations

from services.key_issuer.verification import KeyCache, LiveKey

DIGEST = b"d" * 32
FOREVER = float("inf")


class Time:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0
        self.cache = KeyCache(lambda: self.now)

    def pass_(self, seconds: float, *, deaf: bool = False) -> None:
        """Time passes; heartbeats are heard all the while unless the verifier is ``deaf``."""
        while not deaf and seconds > 1:
            self.now += 1
            seconds -= 1
            self.cache.hear(())
        self.now += seconds
        if not deaf:
            self.cache.hear(())


def make(**bounds: int) -> tuple[KeyCache, Time]:
    """An empty memory that hears, and its clock."""
    time = Time()
    time.cache = KeyCache(lambda: time.now, **bounds)
    time.cache.hear(())
    return time.cache, time


def record(key_id: str = "k1") -> LiveKey:
    """A live key."""
    return LiveKey(key_id, 2, "b", "CX", ("p",), 0, None, used=True)


def test_what_was_stored_is_found_for_five_seconds() -> None:
    """The time to live is a hard deadline."""
    cache, time = make()
    assert cache.store(DIGEST, "k1", record(), cache.snapshot(), FOREVER)
    time.pass_(4.9)
    assert cache.find(DIGEST) is not None
    time.pass_(0.1)
    assert cache.find(DIGEST) is None


def test_a_key_is_not_remembered_beyond_its_expiry() -> None:
    """The time to live is the shorter of both."""
    cache, time = make()
    cache.store(DIGEST, "k1", record(), cache.snapshot(), 1.5)
    time.pass_(1.5)
    assert cache.find(DIGEST) is None


def test_an_unknown_key_is_remembered_for_a_second() -> None:
    """A flood of one wrong key costs one read a second."""
    cache, time = make()
    cache.store(DIGEST, "k1", None, cache.snapshot(), FOREVER)
    time.pass_(0.9)
    found = cache.find(DIGEST)
    assert found is not None
    assert found.record is None
    time.pass_(0.1)
    assert cache.find(DIGEST) is None


def test_an_invalidated_key_is_forgotten_at_once() -> None:
    """All entries of its id go, and no other."""
    cache, _time = make()
    for number, key_id in enumerate(("k1", "k1", "k2")):
        cache.store(bytes([number]) * 32, key_id, record(key_id), cache.snapshot(), FOREVER)
    cache.invalidate(["k1", "unknown"])
    assert cache.find(bytes([0]) * 32) is None
    assert cache.find(bytes([1]) * 32) is None
    assert cache.find(bytes([2]) * 32) is not None
    assert len(cache) == 1


def test_what_was_read_before_an_invalidation_is_not_stored() -> None:
    """The row may be older than the revocation that arrived meanwhile: the reader must read again."""
    cache, _time = make()
    read = cache.snapshot()
    cache.invalidate(["k1"])
    assert not cache.store(DIGEST, "k1", record(), read, FOREVER)
    assert cache.find(DIGEST) is None
    assert cache.store(DIGEST, "k1", record(), cache.snapshot(), FOREVER)


def test_an_invalidation_does_not_stop_another_key() -> None:
    """Reads of other keys are stored although another was invalidated meanwhile."""
    cache, _time = make()
    read = cache.snapshot()
    cache.invalidate(["k2"])
    assert cache.store(DIGEST, "k1", record(), read, FOREVER)


def test_an_invalidation_lasts_twice_the_time_to_live() -> None:
    """Longer than any read can take."""
    cache, time = make()
    read = cache.snapshot()
    cache.invalidate(["k1"])
    time.pass_(9.9)
    cache.invalidate(["k2"])
    assert not cache.store(DIGEST, "k1", record(), read, FOREVER)
    time.pass_(0.2)
    cache.invalidate(["k3"])
    assert len(cache._invalidations) == 2


def test_after_a_gap_nothing_that_was_read_before_is_believed() -> None:
    """Revocations may have been missed: each key is read again when it is used, and is remembered again then."""
    cache, _time = make()
    read = cache.snapshot()
    cache.store(DIGEST, "k1", record(), read, FOREVER)
    cache.distrust()
    assert cache.find(DIGEST) is None
    assert not cache.store(DIGEST, "k1", record(), read, FOREVER)
    assert cache.store(DIGEST, "k1", record(), cache.snapshot(), FOREVER)
    assert cache.find(DIGEST) is not None


def test_the_time_to_live_begins_before_the_read() -> None:
    """The row may have changed at any time after that: five seconds after its revocation no key is accepted."""
    cache, time = make()
    read = cache.snapshot()
    time.pass_(2)
    assert cache.store(DIGEST, "k1", record(), read, FOREVER)
    time.pass_(2.9)
    assert cache.find(DIGEST) is not None
    time.pass_(0.1)
    assert cache.find(DIGEST) is None


def test_nothing_is_believed_by_a_deaf_verifier() -> None:
    """After three seconds without a revocation or a heartbeat the time to live is zero."""
    cache, time = make()
    cache.store(DIGEST, "k1", record(), cache.snapshot(), FOREVER)
    time.pass_(2.9, deaf=True)
    assert cache.find(DIGEST) is not None
    time.pass_(0.1, deaf=True)
    assert cache.deaf
    assert cache.find(DIGEST) is None
    assert cache.store(DIGEST, "k1", record(), cache.snapshot(), FOREVER)
    assert cache.find(DIGEST) is None


def test_what_was_read_before_a_verifier_hears_again_is_not_believed() -> None:
    """The first entry after a silence need not be the last that waited: what was read meanwhile is read again."""
    cache, time = make()
    cache.store(DIGEST, "k1", record(), cache.snapshot(), FOREVER)
    time.pass_(3, deaf=True)
    read = cache.snapshot()
    cache.hear(["k2"])
    assert not cache.deaf
    assert cache.find(DIGEST) is None
    assert not cache.store(DIGEST, "k1", record(), read, FOREVER)
    assert cache.store(DIGEST, "k1", record(), cache.snapshot(), FOREVER)
    assert cache.find(DIGEST) is not None


def test_the_memory_is_bounded() -> None:
    """The oldest leave; live and unknown ones have their own room."""
    cache, _time = make(live_entries=10, unknown_entries=3)
    for number in range(50):
        cache.store(number.to_bytes(32), f"k{number}", record(), cache.snapshot(), FOREVER)
        cache.store((1000 + number).to_bytes(32), f"u{number}", None, cache.snapshot(), FOREVER)
    assert len(cache) == 13
    assert cache.find((49).to_bytes(32)) is not None
    assert cache.find((40).to_bytes(32)) is not None
    assert cache.find((39).to_bytes(32)) is None
    assert len(cache._digests) == 13


def test_what_is_over_is_not_kept_for_long() -> None:
    """Entries past their deadline leave as new ones come."""
    cache, time = make()
    for number in range(20):
        cache.store(number.to_bytes(32), f"k{number}", record(), cache.snapshot(), FOREVER)
    time.pass_(5)
    cache.store(DIGEST, "k", record(), cache.snapshot(), FOREVER)
    assert len(cache) == 1


def test_a_key_that_comes_alive_replaces_its_unknown_entry() -> None:
    """And the other way round: one digest has one entry."""
    cache, _time = make()
    cache.store(DIGEST, "k1", None, cache.snapshot(), FOREVER)
    cache.store(DIGEST, "k1", record(), cache.snapshot(), FOREVER)
    found = cache.find(DIGEST)
    assert found is not None
    assert found.record is not None
    cache.store(DIGEST, "k1", None, cache.snapshot(), FOREVER)
    found = cache.find(DIGEST)
    assert found is not None
    assert found.record is None
    assert len(cache) == 1
