"""What import-linter does not say of imports: no circle anywhere, every module in its place, use cases without HTTP."""

from __future__ import annotations

import ast
import importlib
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from shared.contracts.messages import Command
from tests.architecture.syntax import parsed

REPOSITORY = Path(__file__).resolve().parents[2]
SERVICES = REPOSITORY / "services"
EDGE = frozenset({"__init__", "__main__", "app", "routes", "consumer", "resources"})
ROOT_OF_AUTH_API = EDGE - {"__main__"} | {
    "activity_log",
    "audit",
    "authorize_pages",
    "rate_limit",
    "revocation",
}
"""What belongs to no feature; everything else has a folder."""
ASKS_OVER_HTTP = frozenset({"oidc_provider"})
"""Engines that ask another server over HTTP."""
ABOVE = ("handlers", "app", "routes", "consumer")


def imported(path: Path, *, when_loaded: bool = False) -> Iterator[str]:
    """The modules that a file imports, anywhere in it; ``when_loaded``: but for what a function imports when it runs."""
    tree = parsed(path)
    outside = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    for node in (each for part in (outside if when_loaded else [tree]) for each in ast.walk(part)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules_of(*packages: str) -> dict[str, Path]:
    """Every module in these packages by its dotted name."""
    paths = (path for package in packages for path in (REPOSITORY / package).rglob("*.py"))
    return {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }


def test_no_modules_import_one_another_in_a_circle() -> None:
    """Each can be read, and loaded, after those that it stands on."""
    modules = modules_of("services", "shared")
    graph = {
        name: {*imported(path, when_loaded=True)} & modules.keys() - {name} for name, path in modules.items()
    }
    # A package does not wait for those of its modules that it hands on.
    packages = {name for name, path in modules.items() if path.stem == "__init__"}
    for name in graph.keys() - packages:
        graph[name] -= {package for package in packages if name.startswith(f"{package}.")}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_a_module_of_auth_api_lives_in_the_folder_of_its_feature() -> None:
    """In the root are the edges, what everything stands on, and what belongs to several features."""
    assert {path.stem for path in (SERVICES / "auth_api").glob("*.py")} == ROOT_OF_AUTH_API


def test_every_module_of_auth_api_has_a_place_in_the_order() -> None:
    """A new one is added to the layers of import-linter, so that no import of it goes unseen."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (each["layers"] for each in contracts if each.get("containers") == ["services.auth_api"])
    places = {f"services.auth_api.{place}" for layer in layers for place in layer.split(" | ")}
    misplaced = [
        name
        for name, path in modules_of("services/auth_api").items()
        if path.stem != "__init__" and not any(f"{name}.".startswith(f"{place}.") for place in places)
    ]
    assert misplaced == []


@pytest.mark.parametrize("service", ["auth_api", "key_issuer"])
def test_use_cases_know_no_http_and_nothing_above_them(service: str) -> None:
    """A use case can be run by a handler, a message or a command: it knows none of them."""
    modules = [
        path
        for path in (SERVICES / service).rglob("*.py")
        if path.stem not in EDGE | ASKS_OVER_HTTP and path.parent.name != "handlers"
    ]
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
    own = "auth_api:consent_ui"
    assert [each for each in commands if getattr(each[2], "queue", own) != own] == []
