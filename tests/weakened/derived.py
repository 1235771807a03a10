"""Weakenings that no one has to write: each check of the protocol is left out, one at a time.

A check is an element of a list of checks, or a condition under which a function of ``oauth/`` only refuses.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from tests.weakened.mutations import never_refuses, refusals_of, without_element
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
    """One weakening for each element of each constant tuple of functions of the same module, and for each refusal."""
    return [*_left_out(modules), *_let_through(modules)]


def _left_out(modules: list[Module]) -> list[Weakening]:
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


def _let_through(modules: list[Module]) -> list[Weakening]:
    return [
        Weakening(
            CASE,
            f"{name} of {PurePosixPath(module.path).stem} never refuses where {condition}",
            _TESTS["oauth"],
            "",
            (never_refuses(f"{name}@{_neighbour(module, name)}", condition),),
        )
        for module in modules
        if "oauth" in PurePosixPath(module.path).parent.parts
        for name, definition in module.definitions.items()
        if isinstance(definition, ast.FunctionDef)
        for condition in refusals_of(definition)
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
