"""The compliance matrix: every ``spec`` mark of the suite with its outcome, as a table for the docs.

``./latchkey test -m spec --compliance=docs/compliance.md`` writes it; what is not supported is told in docs/compliance-notes.md
and put below the table as it stands. (With a space instead of `=`, pytest takes a file that is there for tests.)
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

_ORDER = {"failed": 0, "skipped": 1, "passed": 2}
Clause = tuple[str, str, str]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--compliance FILE``."""
    parser.addoption(
        "--compliance", metavar="FILE", default=None, help="write the matrix of spec marks to FILE"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collects outcomes only where the matrix is wanted; not in an xdist worker, whose controller sees them all."""
    target = config.getoption("--compliance")
    if target and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Matrix(Path(target)), "compliance-matrix")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notes the clauses of each test where a report, also one of an xdist worker, carries them."""
    for item in items:
        for mark in item.iter_markers("spec"):
            item.user_properties.append(("spec", list(mark.args)))


class _Matrix:
    """Gathers clause → worst outcome and the tests that prove it, as `./latchkey test` takes them."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._outcomes: dict[Clause, str] = {}
        self._tests: dict[Clause, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the worst outcome of a clause over all tests and phases."""
        if report.when != "call" and report.outcome == "passed":
            return
        for name, value in report.user_properties:
            if name == "spec" and isinstance(value, list):
                clause = (str(value[0]), str(value[1]), str(value[2]))
                self._tests[clause].add(report.nodeid.split("[")[0])
                before = self._outcomes.get(clause, "passed")
                self._outcomes[clause] = min(before, report.outcome, key=_ORDER.__getitem__)

    def pytest_sessionfinish(self) -> None:
        """Writes the table."""
        failed = sum(outcome == "failed" for outcome in self._outcomes.values())
        lines = [
            "# Compliance matrix",
            "",
            "What the standards ask, and the tests that hold Latchkey to it. Made by",
            "",
            "    ./latchkey test -m spec --compliance=docs/compliance.md",
            "",
            f"{len(self._outcomes)} requirements, {failed} failed. [What is not supported](#what-is-not-supported)",
            "is told below.",
            "",
        ]
        lines += ["| document | section | requirement | outcome | tests |", "|---|---|---|---|---|"]
        for clause in sorted(self._outcomes, key=_by_document):
            tests = ", ".join(f"`{test}`" for test in sorted(self._tests[clause]))
            cells = (*clause, self._outcomes[clause], tests)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        notes = self._target.with_name("compliance-notes.md")
        if notes.exists():
            lines += ["", notes.read_text(encoding="utf-8").strip()]
        self._target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _by_document(clause: Clause) -> tuple[str, list[tuple[int, str]], str]:
    document, section, requirement = clause
    parts = [(int(part), "") if part.isdigit() else (0, part) for part in section.replace("§", "").split(".")]
    return document, parts, requirement
