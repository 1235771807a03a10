"""What is repeated to find out whether a reader stumbles: each piece means something to some parser."""

from __future__ import annotations

from typing import Final

PIECES: Final = (
    *"aA0 \t\n.,;:/\\%+=&-_*?#@!'\"[]{}()<>|~^$é数\0",
    "%41", "%zz", "%00", "%ff", "a=", "a=b&", "a=b;", "a=b; ", "a=b,", "a.", "a-", "a/", "a:", "a ", " a", ".-", "1.", "::", "0:", '\\"', "\\u0041",
    '"a",', '"a":0,', "[],", "{},", "//", "/.", "/%2e", "\r\n", "\n ", "- ", "? ", "a: ", "#\n", "permission_1 ", "permission_1&",
    "\N{COMBINING COMMA ABOVE RIGHT}\N{COMBINING GRAVE ACCENT}", "\N{FULLWIDTH LATIN CAPITAL LETTER A}", "\N{ZERO WIDTH JOINER}",
    "\N{KEY}", "\N{IDEOGRAPHIC SPACE}", "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}",
)  # fmt: skip
TAILS: Final = ("", "_")
"""What follows: nothing, or what fits nowhere."""


def repeated(head: str, piece: str, tail: str, length: int) -> str:
    """A text of about so many characters."""
    return head + piece * max(1, (length - len(head) - len(tail)) // max(1, len(piece))) + tail
