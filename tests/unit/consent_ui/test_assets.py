"""The static files."""

from __future__ import annotations

import re
from pathlib import Path

from services.consent_ui.assets import load_assets


def test_an_asset_is_named_by_its_content(tmp_path: Path) -> None:
    """A changed file has another address, so that a browser may keep each for good."""
    (tmp_path / "a.css").write_text("one")
    (tmp_path / "notes.txt").write_text("not served")
    before = load_assets(tmp_path)
    assert list(before) == ["a.css"]
    assert re.fullmatch(r"/static/a\.[0-9a-f]{12}\.css", before["a.css"].path)
    (tmp_path / "a.css").write_text("two")
    assert load_assets(tmp_path)["a.css"].path != before["a.css"].path


def test_a_stylesheet_is_sent_without_what_only_its_readers_need(tmp_path: Path) -> None:
    """Comments and white space go; strings, and spaces that mean something, stay."""
    (tmp_path / "a.css").write_text(
        '/* why */\n.a > b,\n.c [d] {\n  margin: 0 1px;\n  content: "; /* x */  }";\n}\n@media (x: y) { a { b: c; } }\n'
    )
    content = load_assets(tmp_path)["a.css"].content
    assert content == b'.a > b,.c [d]{margin: 0 1px;content: "; /* x */  }"}@media (x: y){a{b: c}}'


def test_the_stylesheet_is_small_and_self_contained() -> None:
    """One request, about 8 kB; nothing is loaded from anywhere else."""
    stylesheet = load_assets()["latchkey.css"].content.decode()
    assert len(stylesheet) < 8_400
    assert "@import" not in stylesheet
    assert re.findall(r'url\("(?!data:image/svg)', stylesheet) == []
    for mode in ("prefers-color-scheme: dark", "prefers-contrast: more", "forced-colors: active"):
        assert mode in stylesheet
