"""The version of this release; a test holds it equal to pyproject.toml."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.2.0"
