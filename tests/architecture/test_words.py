"""One noun, one name: a class or an alias that two modules define under one name means two things, or is there twice."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from tests.architecture.syntax import parsed
from tests.harness.processes import REPOSITORY

SAME_IN_ALL: Final = frozenset({"KeyFile", "Resources", "UseCase"})
"""What each service has one of, in the same part; a key file is the one that is made, and the document that shows it."""


def test_no_two_things_have_the_same_name() -> None:
    """In the services and what they share; private names may repeat."""
    places: dict[str, list[str]] = defaultdict(list)
    for root in ("services", "shared"):
        for file in sorted((REPOSITORY / root).rglob("*.py")):
            for name in _types_of(parsed(file)):
                places[name].append(str(file.relative_to(REPOSITORY)))
    assert "FieldError" in places
    assert {name: where for name, where in places.items() if len(where) > 1 and name not in SAME_IN_ALL} == {}


def _types_of(module: ast.Module) -> Iterator[str]:
    """The public classes, and the aliases in capitals and small letters, that a module defines."""
    for node in module.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name[0].isupper() and not name.isupper() and not _is_variable(node.value):
                yield name


def _is_variable(value: ast.expr) -> bool:
    """Whether it is a ``TypeVar``, which means something in one signature only."""
    return isinstance(value, ast.Call) and ast.unparse(value.func) in {"TypeVar", "ParamSpec"}


def test_the_seeds_envelope_is_made_in_one_place() -> None:
    """Whoever answers in it asks that place."""
    made = [
        str(file.relative_to(REPOSITORY))
        for root in ("services", "shared")
        for file in sorted((REPOSITORY / root).rglob("*.py"))
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Constant) and node.value == "success"
    ]
    assert set(made) == {"shared/seed_envelope.py"}
