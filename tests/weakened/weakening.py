"""What a weakening is: a rule made worse, and the tests that must notice."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.weakened.mutations import Mutation
from tests.weakened.source_tree import Module, find_module, find_test, read_module


@dataclass(frozen=True, slots=True)
class Weakening:
    """A rule made worse, as somebody might do who does not know why it is there."""

    case: str
    """`AC-01` …, as the catalogue numbers them; `rule` where it was derived from a list of checks."""
    what: str
    """What is weakened, in a few words."""
    tests: tuple[str, ...]
    """The endings of the paths of the test files (or folders) that must fail."""
    expression: str
    """Picks these tests in the files, as `-k` does."""
    mutations: tuple[Mutation, ...]
    """More than one where the rule is held in depth: only all of them together let the attack through."""

    def apply(self, root: Path, modules: list[Module]) -> dict[str, str]:
        """The weakened source of each file that changes, by path; ``modules`` are those of the tree at ``root``.

        Raises:
            OutdatedError: something that is to be weakened is not there any more, or not only once.
        """
        changed: dict[str, Module] = {}
        for mutation in self.mutations:
            path = find_module(modules, mutation.symbol).path
            mutation.apply(changed.setdefault(path, read_module(root, path)))
        return {path: ast.unparse(module.tree) for path, module in changed.items()}

    def test_paths(self, root: Path) -> list[str]:
        """Where the tests are.

        Raises:
            OutdatedError: one of them is not there any more, or not only once.
        """
        return [each if (root / each).is_dir() else find_test(root, each) for each in self.tests]


def weaken(
    case: int, what: str, tests: str | Iterable[str], *mutations: Mutation, picking: str = ""
) -> Weakening:
    """A weakening of a case of the catalogue; ``picking`` are its tests, where they are not all that name the case."""
    files = (tests,) if isinstance(tests, str) else tuple(tests)
    return Weakening(f"AC-{case:02}", what, files, picking or f"ac_{case:02}", mutations)
