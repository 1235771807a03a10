"""A Lua script, as Redis runs it: by the SHA-1 of its source."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: ``name`` for people, ``source`` for Redis."""

    name: str
    source: str = field(repr=False)
    sha: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Redis knows a script by the SHA-1 of its source."""
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)
