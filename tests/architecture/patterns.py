"""Every regular expression in our packages, and those uses of them that could hide one."""

from __future__ import annotations

import ast
import html
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from tests.architecture.syntax import parsed

ANCHORED: Final = frozenset({"match", "fullmatch"})
_FLAGS_PLACE: Final = {
    "compile": 1, "match": 2, "fullmatch": 2, "search": 2, "findall": 2, "finditer": 2, "split": 3, "sub": 4, "subn": 4,
}  # fmt: skip
"""The functions of ``re`` that take a pattern first, and where their flags stand."""
_HARMLESS: Final = frozenset(
    {"ASCII", "DOTALL", "IGNORECASE", "MULTILINE", "VERBOSE", "escape", "Match", "Pattern", "error"}
)
_OTHERS: Final = frozenset({"regex", "re2", "fnmatch", "glob", "sre_compile", "sre_parse", "_sre"})
"""Modules that make or run patterns of their own: what uses one needs an enumeration here first."""
_SCRIPT_PATTERN: Final = re.compile(
    r"(?<=[=(,:!&|?{};\s])/((?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+)/([a-z]*)"
)
_HTML_PATTERN: Final = re.compile(r'\spattern="([^"]*)"')
_SQL_PATTERN: Final = re.compile(r"\s!?~\*?\s*'([^']*)'")
_LUA_PATTERN: Final = re.compile(r"string\.g?(?:match|find|sub)|:g?(?:match|find|sub)\(")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One regular expression where it stands."""

    place: str
    text: str | bytes
    flags: int
    search: bool
    """It may match anywhere in a text."""


class HiddenPatternError(Exception):
    """A use of regular expressions that this enumeration cannot follow: rewrite it."""


def patterns_of(path: Path, name: str, others: list[ast.Module]) -> Iterator[Pattern]:
    """Every pattern of one Python module.

    Args:
        name: the module's dotted name; it is imported where it has patterns, to know their values.
        others: the trees of all modules, in which a public pattern may be used.

    Raises:
        HiddenPatternError: one cannot be found.
    """
    tree = parsed(path)
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    _refuse_other_engines(path, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "re":
            yield from _through_re(path, name, node, parents, [tree, *others])
        elif isinstance(node, ast.keyword) and node.arg in ("pattern", "regex"):
            yield from _one(path, name, node.value, 0, search=True)


def patterns_of_text(path: Path) -> Iterator[Pattern]:
    """The patterns of a script, a template or named queries, written as Python understands them too."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".js":
        if "RegExp" in text:
            raise HiddenPatternError(f"{path}: a pattern is made at run time")
        for match in _SCRIPT_PATTERN.finditer(text):
            flags = re.IGNORECASE if "i" in match[2] else 0
            yield Pattern(_place(path, text, match), match[1], flags, search=True)
    elif path.suffix == ".html":
        for match in _HTML_PATTERN.finditer(text):
            yield Pattern(_place(path, text, match), html.unescape(match[1]), 0, search=False)
    elif path.suffix == ".sql":
        for match in _SQL_PATTERN.finditer(text):
            yield Pattern(_place(path, text, match), match[1], 0, search=True)


def lua_patterns_of(path: Path) -> list[str]:
    """Where Lua, in a script for Redis, would match patterns: its matcher backtracks too, and nothing judges them."""
    text = path.read_text(encoding="utf-8")
    return [_place(path, text, match) for match in _LUA_PATTERN.finditer(text) if "redis.call" in text]


def _place(path: Path, text: str, match: re.Match[str]) -> str:
    return f"{path.name}:{text.count(chr(10), 0, match.start()) + 1}"


def _refuse_other_engines(path: Path, tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            hidden = any(alias.name == "re" and alias.asname for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names, hidden = [node.module or ""], node.module == "re"
        else:
            continue
        if hidden or _OTHERS.intersection(name.split(".")[0] for name in names):
            raise HiddenPatternError(f"{path}:{node.lineno}: import re, and nothing like it by another name")


def _through_re(
    path: Path, name: str, node: ast.Name, parents: dict[ast.AST, ast.AST], trees: list[ast.Module]
) -> Iterator[Pattern]:
    attribute = parents[node]
    if isinstance(attribute, ast.Attribute) and attribute.attr in _HARMLESS:
        return
    call = parents[attribute]
    if not (
        isinstance(attribute, ast.Attribute)
        and attribute.attr in _FLAGS_PLACE
        and isinstance(call, ast.Call)
        and call.func is attribute
        and call.args
    ):
        raise HiddenPatternError(f"{path}:{node.lineno}: call a function of re with its pattern first")
    given = [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
    given += call.args[_FLAGS_PLACE[attribute.attr] : _FLAGS_PLACE[attribute.attr] + 1]
    flags = int(_value(path, name, given[0])) if given else 0
    if attribute.attr != "compile":
        search = attribute.attr not in ANCHORED
    else:
        target = parents[call]
        while not isinstance(target, ast.stmt):
            target = parents[target]
        search = _is_searched(target, call, trees)
    yield from _one(path, name, call.args[0], flags, search=search)


def _one(path: Path, name: str, node: ast.expr, flags: int, *, search: bool) -> Iterator[Pattern]:
    value = _value(path, name, node)
    if isinstance(value, re.Pattern):
        value, flags = value.pattern, value.flags
    if not isinstance(value, str | bytes):
        raise HiddenPatternError(f"{path}:{node.lineno}: this is no pattern")
    yield Pattern(f"{name}:{node.lineno}", value, flags, search)


def _value(path: Path, name: str, node: ast.expr) -> Any:
    """What an expression is, out of the module's own names."""
    module: ModuleType = importlib.import_module(name)
    try:
        return eval(compile(ast.Expression(node), str(path), "eval"), dict(vars(module)))  # noqa: S307 - our own code
    except NameError:
        raise HiddenPatternError(f"{path}:{node.lineno}: the pattern is made at run time") from None


def _is_searched(statement: ast.stmt, call: ast.Call, trees: list[ast.Module]) -> bool:
    """Whether a compiled pattern is used in any other way than by ``match`` and ``fullmatch`` under its own name."""
    target = statement.target if isinstance(statement, ast.AnnAssign) else None
    if not isinstance(target, ast.Name) or statement.value is not call:  # type: ignore[attr-defined]
        return True
    own, *others = trees
    for tree in [own] if target.id.startswith("_") else [own, *others]:
        parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
        for node in ast.walk(tree):
            used = (
                node.id
                if isinstance(node, ast.Name)
                else node.attr
                if isinstance(node, ast.Attribute)
                else ""
            )
            if used != target.id or isinstance(getattr(node, "ctx", None), ast.Store):
                continue
            parent = parents[node]
            if not (isinstance(parent, ast.Attribute) and parent.attr in ANCHORED):
                return True
            if not isinstance(parents[parent], ast.Call) or parents[parent].func is not parent:  # type: ignore[attr-defined]
                return True
    return False
