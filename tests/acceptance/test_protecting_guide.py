"""The keys that docs/protecting-your-api.md has its reader make are answered as it says."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.documents import blocks, paste, section
from tests.harness.processes import REPOSITORY


def test_the_keys_to_try_it_with_are_answered_as_the_page_says(latchkey: str, tmp_path: Path) -> None:
    """A good key, one without the permission, a paused one, and one that was taken back."""
    page = (REPOSITORY / "docs" / "protecting-your-api.md").read_text(encoding="utf-8")
    shown = blocks(section(page, "Keys to try it with"))
    commands = [block.replace("http://127.0.0.1:8080", latchkey).replace("carol", "erin") for block in shown]
    _, answers = paste(commands, tmp_path)
    assert answers.split() == ["good", "200", "narrow", "403", "paused", "401", "revoked", "401"]
