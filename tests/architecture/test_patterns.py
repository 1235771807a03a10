"""No regular expression of ours takes more than linear time, whatever it is matched with."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.architecture.ambiguity import fault_of
from tests.architecture.patterns import HiddenPatternError, lua_patterns_of, patterns_of, patterns_of_text
from tests.architecture.syntax import parsed
from tests.architecture.test_layers import modules_of
from tests.harness.growth import FACTOR, MOST
from tests.harness.processes import REPOSITORY

PACKAGES = ("services", "shared", "deploy")


def test_every_pattern_of_our_packages_is_linear() -> None:
    """Python's, pydantic's, those of pages, scripts and queries: each is found, and judged as it is used."""
    modules = modules_of(*PACKAGES)
    trees = [parsed(path) for path in modules.values()]
    found = [each for name, path in modules.items() for each in patterns_of(path, name, trees)]
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.*")):
            found += patterns_of_text(path) if path.suffix in (".js", ".html", ".sql") else []
    faults = {each.place: fault_of(each.text, each.flags, search=each.search) for each in found}
    assert {place: fault for place, fault in faults.items() if fault} == {}
    kinds = {place.split(":")[0].rpartition(".")[2] for place in faults}
    assert kinds >= {"cookies", "keys", "js", "html", "sql"}  # each way of finding some has found some


def test_no_script_for_redis_matches_patterns() -> None:
    """Lua's matcher backtracks too, inside the one thread of Redis."""
    assert [place for path in modules_of(*PACKAGES).values() for place in lua_patterns_of(path)] == []


LINEAR = [
    (r"[a-z]+", True), (r"\s+", True), (r"[^a]+x?", True), (r"(?:a|b)+c", False), (r"a*b*c*", False), (r"[a-z]+:[a-z]+", False),
    (r"(\.[a-z][a-z0-9-]*)+", False), (r'"[^"]*"', True), (r"^[^/]+:\d+", True), (r"x[0-9]{43}[0-9]{6}", True),
    (r"[a-z]{2,4}[us]_", True), (r"(?=(AB|AC))", True), (r"%(?![0-9a-f]{2})", True), (rb"[\x00-\x1f]+", True),
    (r"(?<=\S)[^\S\n]+", True), (r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?", False),
]  # fmt: skip
WORSE = [
    (r"(?:A(?:B*A)?\.?)+", False, "A", "_"), (r"(a*)*b", False, "a", "c"), (r"(a|a)*b", False, "a", "c"),
    (r"(a?b?)*c", False, "ab", "d"), (r"(\w+\s?)*!", False, "a", "?"), (r"(?:[a-z]+|[0-9a-f]+)*_", False, "a", "!"),
    (r"\s+$", True, " ", "x"), (r"[ \t]*,", True, " ", "x"), (r"a[^b]*b", True, "a", "c"), (r"/\*.*?\*/", True, "/*a", ""),
    (r"a*a*b", False, "a", "c"), (r".*:.*:.*x", False, ":", ""), (r"[^=]*\s*=", False, " ", "x"), (r".*?\s*[=:]", False, " ", "x"),
    (r"(?i:A+)a+b", False, "a", "c"), (r"(?=[a-z]*1)[a-z]", True, "a", ""),
    (r"(?:\d+\.)*\d+(?:\.\d+)*!", False, "1.", "?"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "search"), LINEAR)
def test_a_pattern_that_takes_linear_time_is_let_pass(pattern: str | bytes, search: bool) -> None:
    """So that nobody has to write around the check."""
    assert fault_of(pattern, search=search) is None


@pytest.mark.parametrize(("pattern", "search", "pump", "tail"), WORSE)
def test_a_pattern_that_takes_longer_is_found(pattern: str, search: bool, pump: str, tail: str) -> None:
    """And it does take longer: a few times the text cost many times the work."""
    fault = fault_of(pattern, search=search)
    assert fault is not None
    matcher = re.compile(pattern)
    match = matcher.search if search else matcher.fullmatch

    def seconds(size: int) -> float:
        text = pump * size + tail
        begun = time.thread_time()
        match(text)
        return time.thread_time() - begun

    size = 4
    while seconds(size) < 0.02:
        size += size // 4 + 1
        assert size < 50_000, "linear after all"
    assert seconds(size) > MOST * min(seconds(size // FACTOR) for _ in range(3))


def test_a_long_bounded_repeat_counts_as_an_unbounded_one() -> None:
    """A short one does not: what it costs is bounded by the pattern."""
    assert fault_of(r"[a-z]{1,500}[a-f]{0,500}!", search=False) is not None
    assert fault_of(r"[a-z]{1,5}[a-f]{0,5}!", search=False) is None


@pytest.mark.parametrize("pattern", [r"(a+)\1", r"(a)?(?(1)b|c)"])
def test_what_refers_back_is_refused(pattern: str) -> None:
    """No automaton can say how long it takes."""
    assert fault_of(pattern, search=False) is not None


@pytest.mark.parametrize(
    "source",
    [
        "import re\ndef f(p, text):\n    return re.search(p, text)\n",
        "import re\nfind = re.search\n",
        "from re import search\n",
        "import re as patterns\n",
        "import regex\n",
        "import re\nx = getattr(re, 'search')\n",
        "from pydantic import Field\ndef f(p):\n    return Field(pattern=p)\n",
    ],
)
def test_a_pattern_that_cannot_be_found_is_refused(tmp_path: Path, source: str) -> None:
    """Made at run time, or behind another name."""
    path = tmp_path / "module.py"
    path.write_text(source)
    with pytest.raises(HiddenPatternError):
        list(patterns_of(path, "shared.clock", []))
