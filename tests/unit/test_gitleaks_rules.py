"""The rules for gitleaks in docs/gitleaks.toml: they find every kind of key and secret that we make, and nothing else."""

from __future__ import annotations

import base64
import re
import secrets
import tomllib
import uuid
from typing import Any, Final

import pytest

from shared.api_key import (
    SERVICE_KEY,
    USER_KEY,
    masked,
    mint_client_id,
    mint_client_secret,
    mint_key,
    parse_key,
)
from tests.harness.processes import REPOSITORY

FILE: Final = REPOSITORY / "docs" / "gitleaks.toml"
RULES: Final[dict[str, dict[str, Any]]] = {
    rule["id"]: rule for rule in tomllib.loads(FILE.read_text(encoding="utf-8"))["rules"]
}
PREFIXES: Final = ("lk", "a" * 2, "z" * 4)
CONTEXTS: Final = (
    "{}",
    "KEY={}\n",
    '{{"key": "{}"}}',
    "key: '{}'",
    "Authorization: Bearer {}",
    "https://api.example/?key={}&more=1",
    "https://api.example/?next=%2F%3Fkey%3D{}%26",
    "<code>{}</code>",
    "`{}`.",
    "export KEY={}; ./run",
)


def keys(prefix: str) -> list[str]:
    """One of each kind."""
    return [mint_key(prefix, kind, "https://keys.example.com").token for kind in (USER_KEY, SERVICE_KEY)]


def found(rule: str, text: str) -> list[str]:
    """What a rule finds: a keyword must be there, then the expression."""
    keywords = RULES[rule]["keywords"]
    if not any(keyword in text.lower() for keyword in keywords):
        return []
    return re.findall(RULES[rule]["regex"], text, re.ASCII)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("context", CONTEXTS)
def test_every_kind_of_key_is_found_wherever_it_stands(prefix: str, context: str) -> None:
    """With nothing of what stands around it, so that it can be reported as it is."""
    for key in keys(prefix):
        text = context.format(key)
        assert found("latchkey-key", text) == [key]
        assert parse_key(found("latchkey-key", text)[0]) is not None
        assert found("latchkey-client-secret", text) == []


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_programs_secret_is_found(prefix: str, context: str) -> None:
    """By its own rule."""
    secret = mint_client_secret(prefix)
    assert found("latchkey-key", context.format(secret)) == []
    if "%3D" not in context:  # there the letter before it might be its own
        assert found("latchkey-client-secret", context.format(secret)) == [secret]


def others() -> list[str]:
    """What looks a little like one."""
    key = keys("lk")[0]
    prefix, instance, key_id, secret = key.split("_")
    return [
        mint_client_id("lk"),
        masked("lk", key_id),
        key_id,
        key[:-1],
        key + "0",
        f"{prefix}-{instance}-{key_id}-{secret}",
        f"{prefix.upper()}_{instance}_{key_id}_{secret}",
        f"lkq_{instance}_{key_id}_{secret}",
        f"{prefix}_{instance}_{key_id}{secret}",
        f"{prefix}_{instance}0_{key_id}_{secret}",
        f"{prefix}_{instance}_{key_id}_{secret[:20]}_{secret[21:]}",
        f"lkx_{secret}0",
        f"longprefix_{secret}",
        str(uuid.uuid4()),
        f"ghp_{secrets.token_hex(18)}",
        f"max_{secrets.token_hex(32)}",
        f"linux_{secrets.token_hex(20)}",
        f"sha256:{secrets.token_hex(32)}",
        base64.b64encode(secrets.token_bytes(2_000)).decode(),
        "is_this_a_rather_long_name_of_a_function_in_a_language_that_likes_underscores",
    ]


def test_what_is_no_key_is_not_found() -> None:
    """Ids, pieces, other tokens, hashes, names."""
    for text in others():
        assert [found(rule, text) for rule in RULES] == [[], []], text


def test_nothing_committed_is_taken_for_a_key() -> None:
    """The expressions on a text that has many names and tokens in it: our own sources."""
    sources = [*REPOSITORY.glob("services/**/*.py"), *REPOSITORY.glob("docs/*.md"), FILE]
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert [found(rule, text) for rule in RULES] == [[], []], path


def test_the_expressions_are_those_of_every_scanner() -> None:
    """RE2, which gitleaks and GitHub use, has no looking around and no references back."""
    for rule in RULES.values():
        assert set(re.findall(r"\(\?|\\[^b]", rule["regex"])) == set()
