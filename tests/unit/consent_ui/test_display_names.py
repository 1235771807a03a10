"""Names that strangers chose."""

from __future__ import annotations

import pytest

from services.consent_ui.display_names import initial, readable, suspicion


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Epic Games", "Epic Games"),
        ("  a\n\tb  ", "a b"),
        ("safe\u202egnp.exe", "safe\N{REPLACEMENT CHARACTER}gnp.exe"),
        ("a\u200bb", "a\N{REPLACEMENT CHARACTER}b"),
        ("क\u094d\u200dष", "क\u094d\u200dष"),
        ("Z" + "\u0335" * 40, "Z" + "\u0335" * 3),
        ("\u2028", "\N{REPLACEMENT CHARACTER}"),
        ("   ", "(no name)"),
        ("<b>", "<b>"),
    ],
)
def test_a_name_is_readable(name: str, shown: str) -> None:
    """Nothing invisible, nothing that turns the line round or climbs over it."""
    assert readable(name) == shown


@pytest.mark.parametrize(
    "name",
    [
        "Latchkey",
        "L4tchk3y Helper",
        "L\u0430tchkey",
        "\uff2c\uff41\uff54\uff43\uff48\uff4b\uff45\uff59",
        "Acme-Scores sync",
        "Verified scores",
        "OFFICIAL app",
        "Ep\u0456c Games",
        "a\u202eb app",
    ],
)
def test_an_imitation_is_noticed(name: str) -> None:
    """Our name, look-alikes of it, claims of authority, mixed alphabets and hidden characters."""
    assert suspicion(name, "Acme Scores") is not None


@pytest.mark.parametrize(
    "name", ["Epic Games", "Übung macht Meister", "Игры", "電卓", "Go Go Tracker", "Stats 2.0"]
)
def test_an_honest_name_is_left_alone(name: str) -> None:
    """A warning that is always there is read by nobody."""
    assert suspicion(name, "Go") is None


def test_a_monogram_has_one_letter() -> None:
    """The first letter or digit; a question mark without any."""
    assert [initial(name) for name in ("epic", "«ß»", "…")] == ["E", "SS", "?"]
