"""The table of deliberate weakenings keeps up with the rules that it weakens."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.weakened.derived import derive
from tests.weakened.mutations import before, never
from tests.weakened.source_tree import Module, OutdatedError, read_modules
from tests.weakened.table import WEAKENINGS
from tests.weakened.weakening import weaken

REPOSITORY: Final = Path(__file__).resolve().parents[2]


@cache
def modules() -> list[Module]:
    """Every module, read by the first test that asks: not by each process that looks for tests."""
    return read_modules(REPOSITORY)


def test_what_is_to_be_weakened_is_there_once() -> None:
    """Each symbol is found, what is changed is there, the result is Python, and the tests that must fail exist."""
    outdated: list[str] = []
    for weakening in (*WEAKENINGS, *derive(modules())):
        try:
            for source in weakening.apply(REPOSITORY, modules()).values():
                compile(source, weakening.what, "exec")
            assert weakening.test_paths(REPOSITORY)
        except (OutdatedError, SyntaxError, AssertionError) as error:
            outdated.append(f"{weakening.case}: {weakening.what}: {error}")
    assert outdated == []


def test_every_case_of_the_catalogue_is_weakened() -> None:
    """Each of the sixty."""
    wanted = {f"AC-{number:02}" for number in range(1, 61)}
    assert {weakening.case for weakening in WEAKENINGS} == wanted


def test_the_page_of_abuse_cases_says_what_is_weakened() -> None:
    """The page names each weakening, in the order of the table, and every test file that must notice it."""
    lines = (REPOSITORY / "docs/abuse-cases.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line[:4].strip("| ").isdigit()]
    assert len(rows) == 60
    for number, _, tests, said, _ in rows:
        weakenings = [each for each in WEAKENINGS if each.case == f"AC-{number[:2]}"]
        assert said == ("; ".join(each.what for each in weakenings) or "\N{EN DASH}")
        named = {_path_of(name) for name in re.findall(r"`(.+?)`", tests)}
        assert named >= {path for each in weakenings for path in each.test_paths(REPOSITORY)}, number


def _path_of(name: str) -> str:
    """Where a file lies that the page names without its first folder."""
    return next(
        f"{folder}/{name}"
        for folder in ("tests", "tests/integration")
        if (REPOSITORY / folder / name).is_file()
    )


def test_each_check_of_the_protocol_is_left_out_once() -> None:
    """The lists of checks are found by what they are, so that a new one needs no entry anywhere."""
    said = "\n".join(weakening.what for weakening in derive(modules()))
    assert "_same_client" in said
    assert "_is_withdrawn" in said
    assert len(derive(modules())) > 20


@pytest.mark.parametrize(
    "mutation",
    [
        before("no_such_function", "return None"),
        before("_CHECKS", "return None"),
        before("match_redirect_uri", "return no_such_name"),
        never("match_redirect_uri", "no_such_word"),
    ],
    ids=["no such symbol", "too many such symbols", "a name that means nothing", "nothing to change"],
)
def test_a_weakening_that_is_outdated_says_so(mutation: object) -> None:
    """It is neither applied elsewhere nor taken for caught because it breaks the code."""
    with pytest.raises(OutdatedError):
        weaken(0, "nothing", "test_weakenings.py", mutation).apply(REPOSITORY, modules())  # type: ignore[arg-type]
