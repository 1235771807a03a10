"""Which of our functions take text apart: those that a stranger's text could keep busy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.architecture.syntax import parsed

_READING: Final = frozenset(
    [
        "split",
        "rsplit",
        "partition",
        "rpartition",
        "splitlines",
        "replace",
        "count",
        "strip",
        "lstrip",
        "rstrip",
        "translate",
        "casefold",
        "removeprefix",
        "removesuffix",
        "isprintable",
        "isalnum",
        "isdecimal",
        "isdigit",
        "compile",
        "match",
        "fullmatch",
        "search",
        "findall",
        "finditer",
        "sub",
        "subn",
        "normalize",
        "category",
        "loads",
        "load",
        "parse",
        "read_string",
        "model_validate",
        "model_validate_json",
        "from_wire",
        "errors",
        "urlsplit",
        "urlparse",
        "unquote",
        "unquote_plus",
        "unquote_to_bytes",
        "parse_qs",
        "parse_qsl",
        "quote",
        "urlencode",
        "escape",
        "b64decode",
        "urlsafe_b64decode",
        "ip_address",
        "ip_network",
        "strptime",
        "fromisoformat",
        "SimpleCookie",
    ]
)
"""Names of functions and methods whose time depends on a text."""
_SENT: Final = frozenset(
    [
        "headers",
        "cookies",
        "query",
        "query_string",
        "rel_url",
        "path_qs",
        "raw_path",
        "post",
        "json",
        "text",
        "multipart",
        "content",
    ]
)
"""What of a ``request`` somebody else wrote, but for the parts of its path, which are looked up."""

Function = tuple[str, str, int]
"""The file, the name, and the line on which its code begins."""


def functions_that_read(path: Path) -> Iterator[Function]:
    """The functions of a module that take a text apart, read a request, or look something up for each of many things."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _reads(node):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield str(path), node.name, first


def _reads(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(_is_reading(node) or _looks_up_for_each(node) for node in _own_nodes(function))


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """What is in a function and in no function inside it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _own_nodes(child)


def _is_reading(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "request":
        return node.attr in _SENT
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    name = (
        called.attr
        if isinstance(called, ast.Attribute)
        else called.id
        if isinstance(called, ast.Name)
        else ""
    )
    return name in _READING


def _looks_up_for_each(node: ast.AST) -> bool:
    """``in`` inside a loop: in a list it takes as long as the list, each time."""
    if not isinstance(
        node,
        ast.For
        | ast.While
        | ast.comprehension
        | ast.GeneratorExp
        | ast.ListComp
        | ast.SetComp
        | ast.DictComp,
    ):
        return False
    return any(
        isinstance(inner, ast.Compare) and any(isinstance(op, ast.In | ast.NotIn) for op in inner.ops)
        for inner in ast.walk(node)
    )
