"""Where a test keeps what takes long to make and depends on nothing of this clone: other clones find it there too."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final

KEPT: Final = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latchkey-tests" / platform.machine()
)
"""What lies here is named for all that it was made from, and may be deleted."""


def compiled_briefly() -> dict[str, str]:
    """The environment for compilers of programs that run for a second: what counts is what the compiler itself costs.

    Go compiles nothing in C and optimizes nothing; all of its programs are built so, and share what they compile of Go
    itself. Maven and Keycloak do without Java's second compiler.
    """
    return {
        "CGO_ENABLED": "0",
        "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -buildvcs=false '-gcflags=all=-N -l' -ldflags=-w".strip(),
        "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
        "MAVEN_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto",
    }
