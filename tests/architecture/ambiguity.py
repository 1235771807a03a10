"""Whether a backtracking matcher takes time linear in its input for a regular expression: decided, not measured.

A pattern becomes an automaton of its characters (Glushkov's), with the number of ways from one to the next. Python's
matcher tries every path through it before it gives up. Their number grows with the length of the input only where the
automaton is infinitely ambiguous (Weber and Seidl, 1991): exponentially where some character comes back to itself in two
ways on one word, polynomially where of two characters the first and the second come back to themselves and the first
leads to the second, all on one word. What is searched for may begin anywhere: a loop on all characters stands before it.

Where that says too much rather than too little: assertions count as always true, long bounded repeats as unbounded,
possessive repeats and atomic groups as ordinary ones.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from typing import Any, Final

MOST_COPIES: Final = 8
"""A repeat with more optional turns than that counts as unbounded."""
_ANYTHING: Final = 0
"""The state before a pattern that may begin anywhere."""
_FURTHER: Final = (
    *"\N{IDEOGRAPHIC SPACE}\N{EN DASH}\N{ARABIC-INDIC DIGIT TWO}\N{CYRILLIC SMALL LETTER YA}數😀\ud800",
)

Ways = Counter[int]
"""State → in how many ways it is reached, at most 2."""


@dataclass(slots=True)
class _Part:
    """A piece of a pattern: how it begins and ends, how often it is empty, and after what it surely ends in success."""

    first: Ways = field(default_factory=Ways)
    last: Ways = field(default_factory=Ways)
    empty: int = 0
    sure_last: frozenset[int] = frozenset()
    sure_empty: bool = False
    """Empty without a condition."""


class Automaton:
    """The characters of a pattern as states, and the ways from each to the next; ``_ANYTHING`` is the first state."""

    def __init__(self, pattern: str | bytes, flags: int, *, search: bool) -> None:
        """``search``: it may match anywhere in a text, and whatever follows the match.

        Raises:
            NotImplementedError: it refers back to what it matched, which nobody can do in linear time.
        """
        self.conditions: list[Sequence[Any]] = []
        """What stands in look-around assertions."""
        self.follow: dict[int, Ways] = {_ANYTHING: Counter()}
        self._matchers: dict[int, re.Pattern[Any]] = {}
        parsed = _parser.parse(pattern, flags)
        self._sample = _sample_of(pattern, list(parsed))
        self._state = parsed.state
        whole = self._sequence(list(parsed), parsed.state.flags)
        self.sure_last = whole.sure_last if search else frozenset()
        anywhere = search and not _is_anchored(list(parsed), parsed.state.flags)
        self.follow[_ANYTHING] = _capped(whole.first + Counter({_ANYTHING: 1} if anywhere else {}))

    @cached_property
    def letters(self) -> Mapping[int, frozenset[int]]:
        """State → the classes of characters that it takes; characters of one class are the same to every state."""
        signatures: dict[frozenset[int], int] = {}
        found: dict[int, set[int]] = {state: set() for state in self.follow}
        for character in self._sample:
            takes = frozenset(state for state, one in self._matchers.items() if one.fullmatch(character))
            letter = signatures.setdefault(takes, len(signatures))
            for state in (*takes, _ANYTHING):
                found[state].add(letter)
        return {state: frozenset(letters) for state, letters in found.items()}

    def steps(self, states: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Where several may be after taking one and the same character."""

        def extend(so_far: tuple[int, ...], letters: frozenset[int] | None) -> Iterator[tuple[int, ...]]:
            if len(so_far) == len(states):
                yield so_far
                return
            for state in self.follow[states[len(so_far)]]:
                common = self.letters[state] if letters is None else letters & self.letters[state]
                if common:
                    yield from extend((*so_far, state), common)

        return extend((), None)

    def _sequence(self, items: Sequence[Any], flags: int) -> _Part:
        whole = _Part(empty=1, sure_empty=True)
        for item in items:
            whole = self._joined(whole, self._part(item, flags))
        return whole

    def _joined(self, left: _Part, right: _Part) -> _Part:
        for before in left.last:
            self._link(before, right.first, left.last[before])
        return _Part(
            first=_capped(left.first + Counter({s: n * left.empty for s, n in right.first.items()})),
            last=_capped(right.last + Counter({s: n * right.empty for s, n in left.last.items()})),
            empty=min(2, left.empty * right.empty),
            sure_last=right.sure_last | (left.sure_last if right.sure_empty else frozenset()),
            sure_empty=left.sure_empty and right.sure_empty,
        )

    def _link(self, before: int, after: Ways, ways: int) -> None:
        self.follow[before] = _capped(
            self.follow[before] + Counter({state: count * ways for state, count in after.items()})
        )

    def _part(self, item: Any, flags: int) -> _Part:
        kind, about = item
        if kind in (_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY):
            return self._character(item, flags)
        if kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
            least, most, inner = about
            return self._repeat(least, most, inner, flags)
        if kind is _constants.SUBPATTERN:
            _group, added, removed, inner = about
            return self._sequence(list(inner), (flags | added) & ~removed)
        return self._other(kind, about, flags)

    def _other(self, kind: Any, about: Any, flags: int) -> _Part:
        if kind is _constants.BRANCH:
            return self._branch([self._sequence(list(each), flags) for each in about[1]])
        if kind is _constants.ATOMIC_GROUP:
            return self._sequence(list(about), flags)
        if kind is _constants.AT:
            return _Part(empty=1)
        if kind in (_constants.ASSERT, _constants.ASSERT_NOT):
            self.conditions.append(list(about[1]))
            return _Part(empty=1)
        raise NotImplementedError(f"{kind} takes time that nobody can bound")

    def _character(self, item: Any, flags: int) -> _Part:
        state = len(self.follow)
        self.follow[state] = Counter()
        self._matchers[state] = _compiler.compile(_parser.SubPattern(self._state, [item]), flags)
        here = frozenset({state})
        return _Part(first=Counter(here), last=Counter(here), sure_last=here)

    def _branch(self, parts: Sequence[_Part]) -> _Part:
        return _Part(
            first=_capped(sum((part.first for part in parts), Ways())),
            last=_capped(sum((part.last for part in parts), Ways())),
            empty=min(2, sum(part.empty for part in parts)),
            sure_last=frozenset().union(*(part.sure_last for part in parts)),
            sure_empty=any(part.sure_empty for part in parts),
        )

    def _repeat(self, least: int, most: int, inner: Any, flags: int) -> _Part:
        items = list(inner)
        whole = _Part(empty=1, sure_empty=True)
        for _ in range(least):
            whole = self._joined(whole, self._sequence(items, flags))
        if most - least > MOST_COPIES:
            return self._joined(whole, self._star(items, flags))
        for _ in range(most - least):
            whole = self._joined(
                whole, self._branch([self._sequence(items, flags), self._sequence([], flags)])
            )
        return whole

    def _star(self, items: Sequence[Any], flags: int) -> _Part:
        part = self._sequence(items, flags)
        for state in part.last:
            self._link(state, part.first, part.last[state])
        return _Part(part.first, part.last, empty=1, sure_last=part.sure_last, sure_empty=True)


def fault_of(pattern: str | bytes, flags: int = 0, *, search: bool) -> str | None:
    """Why matching takes more than linear time, or ``None`` where it does not.

    ``search``: the pattern may match anywhere in a text, as in ``search``, ``sub``, ``split``, ``findall``, ``finditer``;
    else from its beginning only, as in ``match`` and ``fullmatch``.
    """
    try:
        automaton = Automaton(pattern, flags, search=search)
    except NotImplementedError as error:
        return str(error)
    loops = _loops(automaton)
    if any(_comes_back_in_two_ways(automaton, state) for state in loops):
        return "exponential: a repeat can take one text in several ways"
    starts = [*loops, *([_ANYTHING] if automaton.follow[_ANYTHING][_ANYTHING] else [])]
    for before in starts:
        for after in loops:
            if after in automaton.sure_last and before == _ANYTHING:
                continue  # whatever it took, that is a match: nothing is tried again from further on
            if before != after and _meet(automaton, before, after):
                where = (
                    "a search begins anew inside a repeat"
                    if before == _ANYTHING
                    else "two repeats share a text"
                )
                return f"quadratic or worse: {where}"
    # What is looked for around a place is looked for at every place: nothing in it may repeat without bound.
    if any(map(_repeats, automaton.conditions)):
        return "quadratic or worse: a repeat inside a look-around"
    return None


def _repeats(items: Sequence[Any]) -> bool:
    for kind, about in items:
        if kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
            if about[1] > MOST_COPIES or _repeats(list(about[2])):
                return True
        elif kind is _constants.BRANCH:
            if any(_repeats(list(each)) for each in about[1]):
                return True
        elif kind is _constants.SUBPATTERN and _repeats(list(about[3])):
            return True
    return False


def _loops(automaton: Automaton) -> list[int]:
    """The states that can be reached from themselves."""
    reached = {state: _reachable(automaton, state) for state in automaton.follow}
    return [state for state in automaton.follow if state != _ANYTHING and state in reached[state]]


def _reachable(automaton: Automaton, start: int) -> frozenset[int]:
    seen: set[int] = set()
    waiting = [start]
    while waiting:
        new = set(automaton.follow[waiting.pop()]) - seen
        seen |= new
        waiting += new
    return frozenset(seen)


def _comes_back_in_two_ways(automaton: Automaton, state: int) -> bool:
    """Whether two different paths lead from a state to itself on the same word."""
    ring = {other for other in _reachable(automaton, state) if state in _reachable(automaton, other)}
    if any(
        automaton.follow[one][other] > 1 for one in ring for other in automaton.follow[one] if other in ring
    ):
        return True
    seen = {(state, state)}
    waiting = [(state, state)]
    while waiting:
        for step in automaton.steps(waiting.pop()):
            if step not in seen and ring.issuperset(step):
                seen.add((step[0], step[1]))
                waiting.append((step[0], step[1]))
    apart = {pair for pair in seen if pair[0] != pair[1]}
    return any((state, state) in _closure(automaton, pair, ring) for pair in apart)


def _closure(automaton: Automaton, start: tuple[int, ...], ring: set[int]) -> set[tuple[int, ...]]:
    seen: set[tuple[int, ...]] = set()
    waiting = [start]
    while waiting:
        for step in automaton.steps(waiting.pop()):
            if step not in seen and ring.issuperset(step):
                seen.add(step)
                waiting.append(step)
    return seen


def _meet(automaton: Automaton, before: int, after: int) -> bool:
    """Whether on one word ``before`` leads to itself and to ``after``, and ``after`` to itself."""
    goal = (before, after, after)
    first_ring = {s for s in _reachable(automaton, before) if before in _reachable(automaton, s)}
    last_ring = {s for s in _reachable(automaton, after) if after in _reachable(automaton, s)}
    seen: set[tuple[int, ...]] = set()
    waiting: list[tuple[int, ...]] = [(before, before, after)]
    while waiting:
        for step in automaton.steps(waiting.pop()):
            if step == goal:
                return True
            if step not in seen and step[0] in first_ring and step[2] in last_ring:
                seen.add(step)
                waiting.append(step)
    return False


def _capped(ways: Ways) -> Ways:
    return Counter({state: min(2, count) for state, count in ways.items() if count})


def _is_anchored(items: Sequence[Any], flags: int) -> bool:
    """Whether it can match at the beginning of a text only."""
    if not items:
        return False
    kind, about = items[0]
    if kind is _constants.SUBPATTERN:
        return _is_anchored(list(about[3]), (flags | about[1]) & ~about[2])
    if kind is _constants.BRANCH:
        return all(_is_anchored(list(each), flags) for each in about[1])
    if kind is not _constants.AT:
        return False
    return about is _constants.AT_BEGINNING_STRING or (
        about is _constants.AT_BEGINNING and not flags & re.MULTILINE
    )


def _sample_of(pattern: str | bytes, items: Sequence[Any]) -> Sequence[Any]:
    """Characters of every kind that a pattern can tell apart: all of Latin-1, its own and their neighbours, others."""
    if isinstance(pattern, bytes):
        return [bytes([code]) for code in range(256)]
    codes = {
        near for code in _numbers(items) for near in (code - 1, code, code + 1) if 0 <= near <= sys.maxunicode
    }
    return sorted({*map(chr, range(256)), *map(chr, codes), *_FURTHER})


def _numbers(parsed: Any) -> Iterator[int]:
    """All numbers in a parsed pattern, the codes of its characters among them."""
    if isinstance(parsed, int) and not isinstance(parsed, _constants._NamedIntConstant):
        yield parsed
    elif isinstance(parsed, list | tuple | _parser.SubPattern):
        for each in parsed:
            yield from _numbers(each)
