"""The keys of webhooks: what is derived, which versions are live after which rotations, and the header of signatures."""

from __future__ import annotations

import hmac
from base64 import b64decode
from itertools import product

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.auth_api.webhooks.keys import RETRY_MS, Versions, derive_key
from services.auth_api.webhooks.signing import WebhookKey, signature_header

SECRETS = (b"n" * 32, b"o" * 32)
NOW = 1_800_000_000_000
DAY = 86_400_000


def live(versions: Versions, now: int) -> list[tuple[int, int | None]]:
    """Those that sign."""
    return list(versions.live(now))


def test_every_secret_client_and_version_has_keys_of_its_own() -> None:
    """The same ones each time; no two share either half, and no half is the other."""
    tuples = list(product(SECRETS, ("CIa", "CIb"), (1, 2, 11)))
    keys = [derive_key(*each, None) for each in tuples]
    halves = [half for key in keys for half in (key.hmac_key, key.ed25519_seed)]
    assert len(set(halves)) == 2 * len(tuples)
    assert keys == [derive_key(*each, None) for each in tuples]


def test_the_client_and_the_version_do_not_run_into_one_another() -> None:
    """`a1`, 1 and `a`, 11 are two."""
    assert derive_key(SECRETS[0], "a1", 1, None).hmac_key != derive_key(SECRETS[0], "a", 11, None).hmac_key


def test_keys_are_written_as_the_specification_has_them() -> None:
    """`whsec_` and `whpk_` before base64 of 32 bytes; nothing secret where an object is printed."""
    key = derive_key(SECRETS[0], "CI1", 1, None)
    prefix, secret = key.secret[:6], b64decode(key.secret[6:], validate=True)
    assert (prefix, secret, len(secret)) == ("whsec_", key.hmac_key, 32)
    assert key.public_key[:5] == "whpk_"
    assert len(b64decode(key.public_key[5:], validate=True)) == 32
    assert repr(key) == "WebhookKey(version=1, ends_on=None)"


@pytest.mark.parametrize("body", [b"", b'{"type":"webhook.test"}', "ü\u2028".encode(), bytes(range(256))])
def test_the_header_has_both_signatures_of_every_key_in_order(body: bytes) -> None:
    """Over id, timestamp and the body's bytes with dots between; each is right by the key in its place alone."""
    keys = [derive_key(SECRETS[0], "CI1", version, None) for version in (2, 1)]
    signatures = signature_header(keys, "msg_1", 1_700_000_000, body).split(" ")
    assert [signature.partition(",")[0] for signature in signatures] == ["v1", "v1a", "v1", "v1a"]
    content = b"msg_1.1700000000." + body
    for key, shared, public in zip(keys, signatures[::2], signatures[1::2], strict=True):
        assert b64decode(shared[3:]) == hmac.digest(key.hmac_key, content, "sha256")
        _public(key).verify(b64decode(public[4:]), content)
    with pytest.raises(InvalidSignature):
        _public(keys[0]).verify(b64decode(signatures[3][4:]), content)


def test_before_any_rotation_version_one_is_live_without_end() -> None:
    """No row is needed."""
    assert live(Versions(), NOW) == [(1, None)]


def test_a_rotation_lets_the_old_version_sign_as_long_as_it_says() -> None:
    """Until that millisecond, and not at it."""
    versions = Versions().rotated(NOW, NOW + DAY, "a")
    assert live(versions, NOW) == [(2, None), (1, NOW + DAY)]
    assert live(versions, NOW + DAY - 1) == [(2, None), (1, NOW + DAY)]
    assert live(versions, NOW + DAY) == [(2, None)]


def test_without_an_overlap_the_new_version_is_alone_at_once() -> None:
    """0 seconds."""
    assert live(Versions().rotated(NOW, NOW, "a"), NOW) == [(2, None)]


def test_another_rotation_ends_what_was_old_already() -> None:
    """Two versions are live at most, whatever was promised to the third."""
    versions = Versions().rotated(NOW, NOW + 7 * DAY, "a").rotated(NOW + 1, NOW + DAY, "b")
    assert live(versions, NOW + 1) == [(3, None), (2, NOW + DAY)]


@pytest.mark.parametrize(
    ("later", "again", "until"),
    [
        (1, 7 * DAY, 7 * DAY),  # never later than promised
        (RETRY_MS - 1, 7 * DAY, 7 * DAY),
        (1, 60_000, 60_001),  # the same once more, but sooner
        (1, 0, None),
    ],
)
def test_a_retry_makes_no_other_version(later: int, again: int, until: int | None) -> None:
    """The keys that receivers have go on; the overlap can only become shorter."""
    first = Versions().rotated(NOW, NOW + 7 * DAY, "a")
    now = NOW + later
    retried = first.rotated(now, now + again, "a")
    assert live(retried, now) == [(2, None), *([] if until is None else [(1, NOW + until)])]


def test_what_comes_later_or_says_so_is_no_retry() -> None:
    """Ten minutes later, or another request."""
    first = Versions().rotated(NOW, NOW + DAY, "a")
    assert first.rotated(NOW + RETRY_MS, NOW + DAY, "a").version == 3
    assert first.rotated(NOW + 1, NOW + DAY, "b").version == 3


def _public(key: WebhookKey) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(b64decode(key.public_key[5:]))
