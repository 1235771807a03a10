"""What the operations of a weakening need to know of Python's syntax: words, places, and names that mean something."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

from tests.weakened.source_tree import Definition, Module, OutdatedError

_OPERATORS: Final[dict[type[ast.AST], str]] = {
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Not: "not",
}

_PLACE: Final = re.compile(r"_[0-9]?")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Swap(ast.NodeTransformer):
    """Replaces the nodes that are meant, outermost first, and counts them."""

    def __init__(self, is_meant: Callable[[ast.AST], bool], make: Callable[[ast.AST], ast.AST]) -> None:
        """``make`` makes the replacement of a node."""
        self.count = 0
        self._is_meant = is_meant
        self._make = make

    def visit(self, node: ast.AST) -> Any:
        """Goes on below what is not meant."""
        if self._is_meant(node):
            self.count += 1
            return self._make(node)
        return self.generic_visit(node)


def says(node: ast.AST, wanted: tuple[str, ...]) -> bool:
    """Whether an expression mentions all the words."""
    return set(wanted) <= set(words(node))


def words(node: ast.AST) -> Iterator[str]:
    """What an expression mentions."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name | ast.Attribute):
            yield name_of(each)
        elif isinstance(each, ast.Constant):
            yield each.value if isinstance(each.value, str) else repr(each.value)
        elif (operator := _OPERATORS.get(type(each))) is not None:
            yield operator


def name_of(node: ast.AST) -> str:
    """The last name of `a.b.c`; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def parameters(function: Function) -> dict[str, ast.expr]:
    """The positional parameters of a function, by the places they are spoken of with."""
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    return {f"_{place}": ast.Name(id=name, ctx=ast.Load()) for place, name in enumerate(names, 1)}


def expression(code: str, places: Mapping[str, ast.expr], module: Module, definition: Definition) -> ast.expr:
    """One expression with everything put in its place; raises as ``statements`` does."""
    (statement,) = statements(code, places, module, definition)
    assert isinstance(statement, ast.Expr)
    return statement.value


def statements(
    code: str, places: Mapping[str, ast.expr], module: Module, definition: Definition
) -> list[ast.stmt]:
    """The code with everything put in its place.

    Raises:
        OutdatedError: a name in it is unknown where it is put.
    """
    parsed = ast.parse(code)
    known = (
        _known_names(module, definition)
        | set(places)
        | {
            each.id
            for each in ast.walk(parsed)
            if isinstance(each, ast.Name)
            and isinstance(each.ctx, ast.Store)
            and not _PLACE.fullmatch(each.id)
        }
    )
    known |= {
        alias.asname or alias.name.partition(".")[0]
        for each in ast.walk(parsed)
        if isinstance(each, ast.Import | ast.ImportFrom)
        for alias in each.names
    }
    used = {each.id for each in ast.walk(parsed) if isinstance(each, ast.Name)}
    if unknown := used - known:
        raise OutdatedError(f"{sorted(unknown)} mean nothing in {module.path}: {code}")

    def put(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.Name)
        found = deepcopy(places[node.id])
        if isinstance(found, ast.Name):
            found.ctx = node.ctx
        return found

    swap = Swap(lambda node: isinstance(node, ast.Name) and node.id in places, put)
    return [swap.visit(each) for each in parsed.body]


def _known_names(module: Module, definition: Definition) -> set[str]:
    """What a name may be at that place: a builtin, imported, defined by the module, or local to the function."""
    names = set(dir(builtins)) | {name for name in module.definitions if "." not in name}
    for each in (*module.tree.body, *ast.walk(definition)):
        if isinstance(each, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in each.names}
        elif isinstance(each, ast.arg):
            names.add(each.arg)
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            names.add(each.id)
    return names
