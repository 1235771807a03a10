"""The table of deliberate weakenings keeps up with the rules that it weakens."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.weakened.derived import derive
from tests.weakened.mutations import before, never
from tests.weakened.source_tree import OutdatedError, read_modules
from tests.weakened.table import WEAKENINGS
from tests.weakened.weakening import Weakening, weaken

REPOSITORY: Final = Path(__file__).resolve().parents[2]
MODULES: Final = read_modules(REPOSITORY)
DERIVED: Final = derive(MODULES)


@pytest.mark.parametrize(
    "weakening", [*WEAKENINGS, *DERIVED], ids=lambda weakening: f"{weakening.case}: {weakening.what}"
)
def test_what_is_to_be_weakened_is_there_once(weakening: Weakening) -> None:
    """Each symbol is found, what is changed is there, the result is Python, and the tests that must fail exist."""
    for source in weakening.apply(REPOSITORY, MODULES).values():
        compile(source, weakening.what, "exec")
    assert weakening.test_paths(REPOSITORY)


def test_every_case_of_the_catalogue_is_weakened() -> None:
    """All but 40: nothing here uses one-time factors yet."""
    wanted = {f"AC-{number:02}" for number in range(1, 61)} - {"AC-40"}
    assert {weakening.case for weakening in WEAKENINGS} == wanted


def test_each_check_of_the_protocol_is_left_out_once() -> None:
    """The lists of checks are found by what they are, so that a new one needs no entry anywhere."""
    said = "\n".join(weakening.what for weakening in DERIVED)
    assert "_same_client" in said
    assert "_is_withdrawn" in said
    assert len(DERIVED) > 20


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
        weaken(0, "nothing", "test_weakenings.py", mutation).apply(REPOSITORY, MODULES)  # type: ignore[arg-type]
