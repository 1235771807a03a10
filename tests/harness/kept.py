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
