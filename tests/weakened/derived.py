"""Weakenings that nobody has to write: each check of each list of checks is left out, one at a time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from tests.weakened.mutations import without_element
from tests.weakened.source_tree import Module
from tests.weakened.weakening import Weakening

CASE: Final = "rule"
_TESTS: Final = {
    "oauth": ("tests/unit/oauth",),
    "auth_api": ("tests/unit/auth_api",),
    "key_issuer": ("tests/unit/key_issuer", "key_issuer/test_issuance.py"),
}
"""Where the rules of a folder are tested; the innermost folder of a module counts."""


def derive(modules: list[Module]) -> list[Weakening]:
    """One weakening for each element of each constant tuple of functions of the same module."""
    return [
        Weakening(
            CASE, f"{name} of {PurePosixPath(module.path).stem} leaves out {check}", tests, "", (mutation,)
        )
        for module in modules
        if (tests := _tests_of(module))
        for name, checks in _lists_of(module)
        for place, check in enumerate(checks)
        for mutation in [without_element(f"{name}@{_neighbour(module, name)}", place)]
    ]


def _tests_of(module: Module) -> tuple[str, ...]:
    folders = reversed(PurePosixPath(module.path).parent.parts)
    return next((_TESTS[folder] for folder in folders if folder in _TESTS), ())


def _lists_of(module: Module) -> Iterator[tuple[str, list[str]]]:
    for name, definition in module.definitions.items():
        value = definition.value if isinstance(definition, ast.AnnAssign | ast.Assign) else None
        if isinstance(value, ast.Tuple) and len(value.elts) > 1:
            checks = [check for each in value.elts if (check := _check(module, each))]
            if len(checks) == len(value.elts):
                yield name, checks


def _check(module: Module, element: ast.expr) -> str | None:
    """The name of a function of ours, or what a pair of a sentence and a lambda says."""
    if isinstance(element, ast.Name):
        is_function = isinstance(module.definitions.get(element.id), ast.FunctionDef)
        return element.id if is_function else None
    match element:
        case ast.Tuple(elts=[ast.Constant(value=str(sentence)), ast.Lambda()]):
            return f'"{sentence}"'
    return None


def _neighbour(module: Module, name: str) -> str:
    """A function of the module, to tell it from others that have a list of the same name."""
    return next(each for each in module.definitions if each != name and "." not in each and each[0] != "_")
