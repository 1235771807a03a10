"""What the sample site remembers of a browser between its link and the callback."""

from __future__ import annotations

import pytest

from deploy.demo_app import visitors as module
from deploy.demo_app.visitors import PENDING_MS, Visitor, Visitors
from shared.clock import SystemClock


def test_a_callback_counts_once() -> None:
    """The second callback with the same state is one nobody waits for."""
    visitor = Visitor()
    state, pending = visitor.begin(0)
    assert visitor.finish(state, pending.context, 1)
    assert not visitor.finish(state, pending.context, 1)


@pytest.mark.parametrize(("state", "context", "late"), [("x", None, 0), (None, "x", 0), (None, None, 1)])
def test_a_callback_needs_its_state_its_context_and_to_be_in_time(
    state: str | None, context: str | None, late: int
) -> None:
    """A foreign state, a foreign context and a late return are refused."""
    visitor = Visitor()
    begun, pending = visitor.begin(0)
    assert not visitor.finish(state or begun, context or pending.context, PENDING_MS + late)


def test_two_links_at_once_both_return() -> None:
    """Two tabs do not disturb one another."""
    visitor = Visitor()
    begun = [visitor.begin(0) for _ in range(2)]
    assert all(visitor.finish(state, pending.context, 1) for state, pending in begun)


def test_only_so_many_links_and_visitors_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes first, so that nobody can fill the memory."""
    monkeypatch.setattr(module, "MOST_VISITORS", 2)
    monkeypatch.setattr(module, "MOST_PENDING", 2)
    visitors = Visitors(SystemClock())
    ids = [visitors.welcome()[0] for _ in range(2)]
    assert visitors.find(ids[0]) is not None  # seen last now
    newest, visitor = visitors.welcome()
    assert [visitors.find(each) is not None for each in (*ids, newest)] == [True, False, True]
    states = [visitor.begin(0) for _ in range(3)]
    assert [visitor.finish(state, pending.context, 0) for state, pending in states] == [False, True, True]
