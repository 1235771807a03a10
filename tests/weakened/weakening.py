"""What a weakening is: texts of ours that are replaced by worse ones, and the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class OutdatedError(Exception):
    """The text that a weakening replaces is not there any more, or not only once."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement in one file."""

    path: str
    text: str
    """Must be there exactly once."""
    replacement: str

    def apply(self, tree: Path) -> None:
        """Replaces the text in the file of a tree.

        Raises:
            OutdatedError: the text is not there, or more than once.
        """
        file = tree / self.path
        before = file.read_text(encoding="utf-8")
        if before.count(self.text) != 1:
            raise OutdatedError(f"{self.path} holds {before.count(self.text)} times: {self.text!r}")
        file.write_text(before.replace(self.text, self.replacement), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Weakening:
    """A rule made worse, as somebody might do who does not know why it is there."""

    case: str
    """`AC-01` …, as the catalogue numbers them."""
    what: str
    """What is weakened, in a few words."""
    edits: tuple[Edit, ...]
    """More than one where the rule is held in depth: only all of them together let the attack through."""
    tests: tuple[str, ...]
    """Files of the tests that must fail."""
    expression: str
    """Picks these tests in the files, as `-k` does."""
