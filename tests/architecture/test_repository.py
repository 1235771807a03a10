"""The repository's own rules that no linter holds."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.syntax import parsed

REPOSITORY: Final = Path(__file__).resolve().parents[2]
LONGEST_FILE: Final = 400
LONGEST_FUNCTION: Final = 50
# The names are put together here, so that this file names none of them either.
REGISTRIES: Final = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "org"),
            ("proxy", "golang", "org"),
            ("index", "crates", "io"),
            ("repo", "maven", "apache", "org"),
            ("deb", "debian", "org"),
        )
    )
)
HOME_PATHS: Final = re.compile(r"(?<![\w.}])/(?:root|home/\w+|Users/\w+|work)/[\w.]")
BINARY: Final = frozenset({".png", ".ico", ".woff2", ".gz"})


@cache
def committed() -> tuple[Path, ...]:
    """The files under version control; those on the disk where there is no git."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    paths = (REPOSITORY / name for name in listing.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def text_files() -> list[Path]:
    """Those that people read."""
    return [path for path in committed() if path.suffix not in BINARY]


def modules() -> list[Path]:
    """The Python modules."""
    return [path for path in committed() if path.suffix == ".py"]


def named(path: Path) -> str:
    """The path as people write it."""
    return str(path.relative_to(REPOSITORY))


def test_no_file_names_a_registry_or_a_place_of_one_machine() -> None:
    """A clone works wherever it is, from whichever mirror its packages come."""
    offending = [
        f"{named(path)}:{number}: {line.strip()}"
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if REGISTRIES.search(line) or HOME_PATHS.search(line)
    ]
    assert offending == []


def test_every_pin_has_a_hash_and_every_requirement_a_pin() -> None:
    """The locks hold what the requirements ask for, and nothing without a hash."""
    for asked in sorted((REPOSITORY / "requirements").glob("*.in")):
        lock = asked.with_suffix(".lock").read_text(encoding="utf-8")
        pins = {match[1].lower() for match in re.finditer(r"^([\w.-]+)==", lock, re.MULTILINE)}
        for block in re.split(r"\n(?=\w)", lock):
            assert "==" not in block or "--hash=sha256:" in block, f"{lock} has a pin without a hash: {block}"
        lines = asked.read_text(encoding="utf-8").splitlines()
        names = {re.split(r"[\[<>=;]", line)[0].strip() for line in lines if re.match(r"[a-z]", line)}
        assert names <= pins, f"{asked.name}: run requirements/lock"


def test_packages_say_what_they_own() -> None:
    """A package's docstring tells in a sentence what belongs there."""
    silent = [
        named(path)
        for path in modules()
        if path.name == "__init__.py" and not ast.get_docstring(parsed(path))
    ]
    assert silent == []


def test_files_and_functions_stay_short() -> None:
    """A long one hides a second noun."""
    long_files = [
        f"{named(path)}: {count} lines"
        for path in modules()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE
    ]
    long_functions = [
        f"{named(path)}:{node.lineno} {node.name}: {length} lines"
        for path in modules()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("test_")
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert long_files + long_functions == []


def test_no_work_is_left_in_comments() -> None:
    """What is to be done is an issue, not a comment."""
    marker = re.compile(r"#.*\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    left = [
        f"{named(path)}:{number}"
        for path in modules()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if marker.search(line)
    ]
    assert left == []
