"""The static files: read once, served under names that hold their hash, so that a browser may keep them for good."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DIRECTORY: Final = Path(__file__).with_name("static")
_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".js": "text/javascript",
}
PREFIX: Final = "/static/"
_LEFT_ALONE: Final = re.compile(r'"|/\*')
"""Where a string or a comment of a stylesheet begins."""
_GAP: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent."""

    name: str
    """``latchkey.<hash>.css``"""
    content: bytes
    media_type: str

    @property
    def data_address(self) -> str:
        """The whole file as an address, for what is not worth a request."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"

    @property
    def path(self) -> str:
        """Where the pages link to."""
        return PREFIX + self.name


def load_assets(directory: Path = _DIRECTORY) -> Mapping[str, Asset]:
    """Every file of the directory by its plain name (``latchkey.css``)."""
    return {file.name: _load(file) for file in sorted(directory.iterdir()) if file.suffix in _TYPES}


def _load(file: Path) -> Asset:
    content = file.read_bytes()
    if file.suffix == ".css":
        content = _squeezed(content.decode()).encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(f"{file.stem}.{digest}{file.suffix}", content, _TYPES[file.suffix])


def _squeezed(stylesheet: str) -> str:
    """A stylesheet without its comments and without the white space that separates nothing; strings stay as they are."""
    kept, place = [], 0
    while begin := _LEFT_ALONE.search(stylesheet, place):
        kept.append(_tight(stylesheet[place : begin.start()]))
        end = '"' if begin[0] == '"' else "*/"
        place = stylesheet.index(end, begin.end()) + len(end)
        if begin[0] == '"':
            kept.append(stylesheet[begin.start() : place])
        elif gap := _GAP.match(stylesheet, place):
            place = gap.end()
    return "".join((*kept, _tight(stylesheet[place:])))


def _tight(piece: str) -> str:
    """A piece without strings and comments; a space beside one of them stays."""
    piece = _GAP.sub(" ", piece)
    for separator in "{};,":
        piece = piece.replace(f" {separator}", separator).replace(f"{separator} ", separator)
    return piece.replace(";}", "}")
