"""The layer that import-linter cannot name: a service's use cases, which are all its modules but the edge's."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.contracts.base import Command
from tests.architecture.syntax import parsed

SERVICES = Path(__file__).resolve().parents[2] / "services"
EDGE = frozenset({"__init__", "__main__", "app", "routes", "consumer", "resources"})
ABOVE = ("handlers", "app", "routes", "consumer")


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("service", ["auth_api", "key_issuer"])
def test_use_cases_know_no_http_and_nothing_above_them(service: str) -> None:
    """A use case can be run by a handler, a message or a command: it knows none of them."""
    modules = [path for path in (SERVICES / service).glob("*.py") if path.stem not in EDGE]
    assert modules
    forbidden = ("aiohttp", *(f"services.{service}.{name}" for name in ABOVE))
    offending = [
        f"{path.name} imports {name}"
        for path in modules
        for name in imported(path)
        if any(name == other or name.startswith(f"{other}.") for other in forbidden)
    ]
    assert offending == []


def test_handlers_leave_the_stores_to_use_cases() -> None:
    """A handler talks neither to PostgreSQL nor to Redis by itself."""
    offending = [
        f"{path.relative_to(SERVICES)} imports {name}"
        for path in SERVICES.glob("*/handlers/*.py")
        for name in imported(path)
        if name.split(".")[0] in ("asyncpg", "redis")
    ]
    assert offending == []


def test_pages_send_commands_to_auth_api_alone() -> None:
    """Who is meant by a command is for auth_api to find out: consent_ui may say nothing to the issuer."""
    sent = [
        (path.name, name, getattr(importlib.import_module(module), name))
        for path in (SERVICES / "consent_ui").rglob("*.py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and (module := node.module or "").startswith("shared.contracts")
        for name in (alias.name for alias in node.names)
    ]
    commands = [each for each in sent if isinstance(each[2], type) and issubclass(each[2], Command)]
    assert commands
    assert [each for each in commands if getattr(each[2], "queue", "auth_api") != "auth_api"] == []
