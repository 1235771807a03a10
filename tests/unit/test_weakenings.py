"""The table of deliberate weakenings keeps up with the rules that it weakens."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.weakened.table import WEAKENINGS
from tests.weakened.weakening import Weakening

REPOSITORY: Final = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("weakening", WEAKENINGS, ids=lambda weakening: f"{weakening.case}: {weakening.what}")
def test_what_is_to_be_weakened_is_there_once(weakening: Weakening) -> None:
    """Each text is in its file exactly once, and the tests that must fail have their file."""
    for edit in weakening.edits:
        assert (REPOSITORY / edit.path).read_text(encoding="utf-8").count(edit.text) == 1, edit
    assert all((REPOSITORY / tests).is_file() for tests in weakening.tests)


def test_every_case_of_the_catalogue_is_weakened() -> None:
    """All but 40: nothing here uses one-time factors yet."""
    wanted = {f"AC-{number:02}" for number in range(1, 61)} - {"AC-40"}
    assert {weakening.case for weakening in WEAKENINGS} == wanted
