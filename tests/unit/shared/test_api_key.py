"""The format of keys: keys.md's regex, checksum, and what a parser must refuse."""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api_key import (
    USER_KEY,
    assemble_key,
    checksum,
    instance_of,
    masked,
    mint_client_id,
    mint_client_secret,
    mint_key,
    parse_key,
)
from shared.secret_tokens import BASE62, digest_of, random_base62

URL = "https://keys.example.com"


def test_a_key_has_the_fixed_shape() -> None:
    """One regex with a fixed length fits every key, as secret scanners need."""
    key = mint_key("lk", USER_KEY, URL)
    assert re.fullmatch(r"lku_[0-9A-Za-z]{6}_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}", key.token)
    assert key.token.split("_")[1] == instance_of(URL)
    assert key.token.split("_")[2] == key.key_id
    assert key.digest == digest_of(key.token)


def test_a_parsed_key_tells_its_parts() -> None:
    """Prefix, kind, instance and id come back; nothing is proven by it."""
    parsed = parse_key(assemble_key("abcd", "s", URL, key_id="k" * 16, secret="z" * 43).token)
    assert parsed is not None
    assert (parsed.prefix, parsed.kind, parsed.instance, parsed.key_id) == (
        "abcd",
        "s",
        instance_of(URL),
        "k" * 16,
    )


def test_the_checksum_is_the_crc32_of_all_before_it() -> None:
    """Six base62 characters, zero padded."""
    token = mint_key("lk", USER_KEY, URL).token
    number = 0
    for character in token[-6:]:
        number = number * 62 + BASE62.index(character)
    assert number == zlib.crc32(token[:-6].encode())
    assert checksum("") == "000000"


@given(position=st.integers(0, 75), replacement=st.sampled_from(BASE62))
def test_one_changed_character_is_noticed(position: int, replacement: str) -> None:
    """A typing error never reaches a database."""
    token = assemble_key("lk", USER_KEY, URL, key_id="0" * 16, secret="A" * 43).token
    changed = token[:position] + replacement + token[position + 1 :]
    assert (parse_key(changed) is None) == (changed != token)


@given(st.text())
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    """Garbage is no key, whatever it is made of."""
    assert parse_key(text) is None


@pytest.mark.parametrize("suffix", ["\n", " ", "\0"])
def test_trailing_bytes_are_not_part_of_a_key(suffix: str) -> None:
    """The whole string counts, no line end is forgiven."""
    assert parse_key(mint_key("lk", USER_KEY, URL).token + suffix) is None


def test_a_key_never_shows_in_its_repr() -> None:
    """A log line with the object holds no secret."""
    key = mint_key("lk", USER_KEY, URL)
    assert key.token not in repr(key)
    assert masked("lk", key.key_id) == f"lku_…{key.key_id[:4]}"


def test_client_credentials_use_the_same_scheme() -> None:
    """Ids and secrets are safe in URLs and in Basic without any encoding."""
    assert re.fullmatch(r"lkc_[0-9A-Za-z]{16}", mint_client_id("lk"))
    assert re.fullmatch(r"lkx_[0-9A-Za-z]{49}", mint_client_secret("lk"))


def test_random_base62_rejects_the_biased_bytes() -> None:
    """Bytes of 248 and more are thrown away instead of folded onto the first characters."""
    supply = iter([bytes([255] * 9), bytes([61] * 9)])
    assert random_base62(1, lambda _length: next(supply)) == "z"
