"""The commands that a document shows, as a person pastes them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

SECONDS: Final = 60


def section(document: str, heading: str) -> str:
    """The text below a second-level heading, up to the next."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", document, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section {heading}"
    return found[1]


def blocks(text: str, language: str = "sh") -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def paste(commands: list[str], folder: Path) -> list[str]:
    """Runs the blocks in one shell, which stops at the first failure; what each of them printed."""
    mark = "----- next block -----"
    script = f"\necho; echo '{mark}'\n".join(["set -eu", *commands])
    finished = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert finished.returncode == 0, f"{finished.stdout}\n{finished.stderr}"
    return [part.strip() for part in finished.stdout.split(mark)[1:]]
