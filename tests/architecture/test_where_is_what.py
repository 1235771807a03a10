"""The index of docs/architecture.md leads somewhere: every file is there, and holds the name to look for."""

from __future__ import annotations

import ast
import re
from typing import Final

from tests.architecture.syntax import parsed
from tests.harness.processes import REPOSITORY

PAGE: Final = REPOSITORY / "docs" / "architecture.md"
FOLDERS: Final = ("", "services/auth_api/")


def test_what_the_index_names_is_where_it_says() -> None:
    """Each name is defined in one of the files of its line."""
    (section,) = re.findall(
        r"^## Where is what\n(.*?)^## ", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    missing: list[str] = []
    for looked_for, files, *names in lines:
        defined: set[str] = set()
        for file in re.findall(r"`([\w./]+\.(?:py|toml))`", files):
            path = next(
                (REPOSITORY / each / file for each in FOLDERS if (REPOSITORY / each / file).is_file()), None
            )
            if path is None:
                missing.append(file)
            elif path.suffix == ".py":
                tree = parsed(path)
                defined |= {
                    each.name
                    for each in tree.body
                    if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                }
        wanted = set(re.findall(r"`(\w+)`", "".join(names)))
        missing += [f"{looked_for}: {name}" for name in wanted - defined]
    assert missing == []
    assert len(lines) > 10
