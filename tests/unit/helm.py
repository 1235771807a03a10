"""The `helm` of this machine, if there is one."""

from __future__ import annotations

import os
import shutil
from typing import Final

HELM: Final = os.environ.get("LATCHKEY_HELM") or shutil.which("helm")
