"""Where a symbol is defined, whatever file it has been moved to."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOTS: Final = ("services", "shared")

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


class OutdatedError(Exception):
    """What a weakening speaks of is not there any more, or not only once."""


@dataclass(frozen=True, slots=True)
class Module:
    """One parsed file of ours; weakening it changes ``tree``."""

    path: str
    """Relative to the root of the source tree."""
    tree: ast.Module
    definitions: Mapping[str, Definition]
    """By qualified name: `sign_in`, `Client.live_secret_digests`, `revoke_token.work`, `REDEEM`."""
    imported: frozenset[str]
    """The names that it imports."""


def read_modules(root: Path) -> list[Module]:
    """Every Python file of the services and of what they share."""
    return [
        read_module(root, path.relative_to(root).as_posix())
        for folder in ROOTS
        for path in sorted((root / folder).rglob("*.py"))
    ]


def read_module(root: Path, path: str) -> Module:
    """One of them."""
    tree = ast.parse((root / path).read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    return Module(path, tree, dict(_definitions(tree, "")), frozenset(imported))


def find_module(modules: list[Module], symbol: str) -> Module:
    """The module that defines a symbol.

    ``symbol`` is a qualified name; where several modules have one of that name, `name@other` means the one that also
    defines or imports ``other``.

    Raises:
        OutdatedError: no module does, or more than one.
    """
    name, _, beside = symbol.partition("@")
    found = [
        module
        for module in modules
        if name in module.definitions
        and (not beside or beside in module.definitions or beside in module.imported)
    ]
    if len(found) != 1:
        raise OutdatedError(f"{symbol} is defined in {len(found)} modules: {[each.path for each in found]}")
    return found[0]


def find_test(root: Path, ending: str) -> str:
    """The path of the one test file whose path ends so.

    Raises:
        OutdatedError: there is none, or more than one.
    """
    paths = [path.relative_to(root).as_posix() for path in (root / "tests").rglob("test_*.py")]
    found = [path for path in paths if path.endswith(f"/{ending}")]
    if len(found) != 1:
        raise OutdatedError(f"{len(found)} test files end with {ending}: {found}")
    return found[0]


def _definitions(parent: ast.AST, prefix: str) -> Iterator[tuple[str, Definition]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name, node
            yield from _definitions(node, f"{prefix}{node.name}.")
        elif isinstance(parent, ast.Module) and isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name):
                yield target.id, node
