"""Every reason for which our code ends a key has a public word: whoever adds one without it is told here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import pytest

from services.key_issuer.db.repository import MIGRATIONS, QUERIES
from shared.contracts.events import RevocationReason
from tests.harness.processes import REPOSITORY
from tests.integration.key_issuer.conftest import Bench

PUBLIC: Final = frozenset(
    {
        *("person", "app_disconnected", "client", "operator", "code_replayed", "leak_reported", "evicted"),
        *("rotated", "client_deleted", "user_disabled", "user_ended", "account_deleted", "policy"),
    }
)
"""What the interface lists for ``key.revoked``."""
UNREPORTED: Final = frozenset({"abandoned", "superseded", "undelivered"})
"""Reasons of keys that reached no program."""
RESERVED: Final = frozenset({"account_deleted", "policy"})
"""Public words that no code gives a cause for today."""
PLACES: Final = {
    **dict.fromkeys(
        ("RevokeKey", "RevokeGrant", "RevokePeople", "GrantRevoked", "PeopleEnded"), ("reason", None)
    ),
    **dict.fromkeys(("end_keys", "end_live_keys", "_end_key", "_end_one", "revoke_all_keys"), ("reason", 1)),
    "record_revocation": ("reason", 2),
    "NewKeyRow": ("end_reason", 2),
}
"""What takes the reason for which keys end: the argument's name, and its place where it may have none."""
SOURCES: Final = [
    path
    for folder in ("services", "shared", "deploy")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]


def constants_of(tree: ast.Module) -> dict[str, str]:
    """A module's constants that are texts."""
    texts = (
        (node.target, node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant)
    )
    return {
        target.id: value.value
        for target, value in texts
        if isinstance(target, ast.Name) and isinstance(value.value, str)
    }


def given_to(call: ast.Call) -> ast.expr | None:
    """The reason in a call, if it takes one."""
    name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
    if name not in PLACES:
        return None
    keyword, place = PLACES[name]
    for given in call.keywords:
        if given.arg == keyword:
            return given.value
    return call.args[place] if place is not None and len(call.args) > place else None


def texts_in(given: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    """The texts that an expression may be; a parameter or a member is somebody else's, who is looked at too."""
    for node in ast.walk(given):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name) and node.id in constants:
            yield constants[node.id]


def reasons_in_python(paths: list[Path]) -> set[str]:
    """Reasons that calls are given, and all that a module of reasons names."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    everywhere = {name: text for tree in trees.values() for name, text in constants_of(tree).items()}
    found: set[str] = set()
    for tree in trees.values():
        constants = {**everywhere, **constants_of(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (given := given_to(node)) is not None:
                found.update(texts_in(given, constants))
    return found


def reasons_in_sql(paths: list[Path]) -> set[str]:
    """Texts that a statement gives to ``end_keys``."""
    texts = (path.read_text(encoding="utf-8") for path in paths)
    return {reason for text in texts for reason in re.findall(r"end_keys\([^()']*'([^']*)'\)", text)}


def every_reason() -> set[str]:
    """For which our code of today ends keys of clients."""
    records = REPOSITORY / "services" / "key_issuer" / "records.py"
    named = set(constants_of(ast.parse(records.read_text(encoding="utf-8"))).values()) - {""}
    in_sql = reasons_in_sql([QUERIES, *sorted(MIGRATIONS.glob("*.sql"))])
    return reasons_in_python(SOURCES) | in_sql | named | set(get_args(RevocationReason))


async def test_every_reason_of_our_code_has_a_public_word(bench: Bench) -> None:
    """None of them falls to ``policy``; each word of the interface but the reserved ones is some reason's."""
    reasons = sorted(every_reason())
    rows = await bench.sql(
        "SELECT reason, public_reason(reason) AS word FROM unnest($1::text[]) AS reason", reasons
    )
    words = {row["reason"]: row["word"] for row in rows}
    assert {reason for reason, word in words.items() if word is None} <= UNREPORTED
    assert {reason for reason, word in words.items() if word == "policy"} == set()
    assert set(words.values()) - {None} == PUBLIC - RESERVED


async def test_what_nobody_knows_is_reported_as_policy(bench: Bench) -> None:
    """So that a reason of the next release, whose processes may run beside this one, is not lost."""
    (row,) = await bench.sql("SELECT public_reason('a new one') AS new, public_reason('') AS empty")
    assert (row["new"], row["empty"]) == ("policy", "policy")


@pytest.mark.parametrize(
    "line",
    [
        "end(RevokeKey(key_id=k, user_id=None, reason='planted'))",
        "rows.end_keys(ids, 'planted', now)",
        "WHY: Final = 'planted'\nrows.end_live_keys(ids, WHY, now)",
        "NewKeyRow(one, sealed, A if b else 'planted')",
        "record_revocation(resources, connection, 'planted', user_id=1)",
    ],
)
def test_a_planted_reason_is_found(tmp_path: Path, line: str) -> None:
    """In Python, wherever it is said."""
    module = tmp_path / "planted.py"
    module.write_text(line, encoding="utf-8")
    assert reasons_in_python([module]) == {"planted"}


def test_a_planted_reason_is_found_in_sql(tmp_path: Path) -> None:
    """And in a statement."""
    statement = tmp_path / "planted.sql"
    statement.write_text("RETURN ARRAY(SELECT end_keys(surplus, made_on, 'planted'));", encoding="utf-8")
    assert reasons_in_sql([statement]) == {"planted"}
    assert "evicted" in reasons_in_sql(sorted(MIGRATIONS.glob("*.sql")))
