"""Failpoints: asleep unless a test wakes them, absent in a release."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import failpoints
from shared.errors import StoreUnavailable
from shared.failpoints import VARIABLE, FailpointError, arm, failpoint, parse_failpoints


def wake(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Arms them in this process for one test."""
    monkeypatch.setattr(failpoints, "_points", arm({VARIABLE: text}))


async def test_without_the_variable_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The normal case."""
    wake(monkeypatch, "")
    await failpoint("x")


async def test_only_the_named_moment_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    """And each as it was told."""
    wake(monkeypatch, "x=raise;y=raise:unavailable;z=pause:0")
    await failpoint("other")
    with pytest.raises(FailpointError):
        await failpoint("x")
    with pytest.raises(StoreUnavailable):
        await failpoint("y")
    await failpoint("z")


@pytest.mark.parametrize(("hit", "acting"), [("", [1, 2, 3, 4]), ("@3", [3]), ("@3+", [3, 4])])
async def test_a_hit_can_be_chosen(monkeypatch: pytest.MonkeyPatch, hit: str, acting: list[int]) -> None:
    """The third time only, or from then on."""
    wake(monkeypatch, f"x=raise{hit}")
    acted = []
    for number in range(1, 5):
        try:
            await failpoint("x")
        except FailpointError:
            acted.append(number)
    assert acted == acting


def test_a_release_has_none(tmp_path: Path) -> None:
    """Whatever the environment says: there are no tests beside an installed release."""
    assert arm({VARIABLE: "x=kill"}, source_tree=tmp_path) == {}
    (tmp_path / "tests").mkdir()
    assert list(arm({VARIABLE: "x=kill"}, source_tree=tmp_path)) == ["x"]


@pytest.mark.parametrize("text", ["x", "x=", "x=explode", "x=pause:soon", "x=pause:-1", "x=raise@first"])
def test_what_cannot_be_understood_is_refused(text: str) -> None:
    """A test that believes to have armed something must not pass for nothing."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is for the author of the test
        parse_failpoints(text)
