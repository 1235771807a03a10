"""The web edge stands on what aiohttp promises, not on how it is made."""

from __future__ import annotations

import ast
from typing import Final

from aiohttp import web

from tests.architecture.syntax import parsed
from tests.harness.processes import REPOSITORY

CLASSES: Final = (web.RequestHandler, web.BaseRequest, web.Request, web.Response, web.Server, web.AppRunner)


def test_shared_web_touches_no_private_name_of_aiohttp() -> None:
    """What begins with an underscore may change with any release; so may the class of an object."""
    private = {name for each in CLASSES for base in each.__mro__ for name in (*vars(base), *_slots(base))}
    private = {name for name in private if name.startswith("_") and not name.endswith("__")} | {"__class__"}
    used = [
        f"{file.name}:{node.lineno} {node.attr}"
        for file in sorted((REPOSITORY / "shared" / "web").glob("*.py"))
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Attribute) and node.attr in private
    ]
    assert used == []
    assert "_waiter" in private


def _slots(base: type) -> tuple[str, ...]:
    return tuple(getattr(base, "__slots__", ()))
