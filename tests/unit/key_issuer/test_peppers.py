"""Peppers: what a row holds, and what happens while they are exchanged."""

from __future__ import annotations

import hashlib
import hmac

from shared.secret_tokens import Peppers, digest_of

OLD, NEW = b"o" * 32, b"n" * 32
DIGEST = digest_of("a key")


def test_a_digest_is_sealed_with_the_pepper_that_is_named_first() -> None:
    """HMAC-SHA256(pepper, SHA-256(key)); a pepper that is only known yet seals nothing."""
    assert Peppers({1: OLD, 2: NEW}).current == 1
    peppers = Peppers({2: NEW, 1: OLD})
    assert peppers.current == 2
    assert peppers.seal(DIGEST) == hmac.digest(NEW, hashlib.sha256(b"a key").digest(), "sha256")


def test_an_older_seal_still_matches_by_its_version() -> None:
    """And by no other."""
    peppers = Peppers({1: OLD, 2: NEW})
    sealed = Peppers({1: OLD}).seal(DIGEST)
    assert peppers.matches(DIGEST, sealed, 1)
    assert not peppers.matches(DIGEST, sealed, 2)


def test_a_pepper_that_is_gone_matches_nothing() -> None:
    """A row whose pepper was taken away is a row that nobody can use."""
    assert not Peppers({2: NEW}).matches(DIGEST, Peppers({1: OLD}).seal(DIGEST), 1)


def test_another_key_does_not_match() -> None:
    """Not even by one bit."""
    peppers = Peppers({1: OLD})
    assert not peppers.matches(digest_of("another"), peppers.seal(DIGEST), 1)
