"""The catalogue of permissions: what a scope value means, in words for people."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

KindOfAccess = Literal["read", "change", "delete"]
Catalogue = Mapping[str, "Permission"]

_SAMPLE: Final = Path(__file__).with_name("permissions.toml")
# RFC 6749 §3.3 allows more; this is what also fits in a URL path, a header and an identifier.
_NAME: Final = re.compile(r"[a-z][a-z0-9_.:-]{0,63}", re.ASCII)


class CatalogueError(Exception):
    """The permissions file is wrong; the message says where."""


@dataclass(frozen=True, slots=True)
class Permission:
    """One permission: the scope value, a short title, and what it allows, said to the person."""

    name: str
    title: str
    sentence: str
    access: KindOfAccess


def load_permissions(path: Path | None = None) -> Catalogue:
    """Reads a catalogue (the sample's eight permissions without a path), in the file's order.

    Raises:
        CatalogueError: the file is not TOML, holds no permission, or one of them lacks a field.
    """
    source = path or _SAMPLE
    try:
        tables = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{source}: {error}") from None
    if not tables:
        raise CatalogueError(f"{source}: holds no permission")
    return MappingProxyType({name: _permission(source, name, table) for name, table in tables.items()})


def _permission(source: Path, name: str, table: Any) -> Permission:
    if not _NAME.fullmatch(name):
        raise CatalogueError(
            f"{source}: [{name}] is no permission name (lower-case letters, digits, _ . : -)"
        )
    if not isinstance(table, dict) or set(table) != {"title", "sentence", "access"}:
        raise CatalogueError(f"{source}: [{name}] needs exactly title, sentence and access")
    if table["access"] not in get_args(KindOfAccess) or not all(
        isinstance(text, str) for text in table.values()
    ):
        raise CatalogueError(f"{source}: [{name}] access is one of read, change, delete; the rest is text")
    return Permission(name, table["title"], table["sentence"], table["access"])
