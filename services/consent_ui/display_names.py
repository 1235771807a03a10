"""Names and links that strangers chose, made safe to read: nothing invisible, nothing that passes for this site."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from shared.plain_text import joins

_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_OFFICIAL: Final = ("official", "verified", "administrator", "moderator", "support team", "security team")
_DIGITS: Final = ("0134578$@!|i", "oleastbsalll")
_CYRILLIC: Final = (
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0455\u04bb\u0501\u04cf",
    "abekmhopctyxlshdl",
)
_GREEK: Final = ("\u03b1\u03bf\u03c1\u03b9\u03ba\u03bd\u03c4", "aoplkvt")
_LOOK_ALIKES: Final = {
    ord(character): plain
    for look_alikes, plains in (_DIGITS, _CYRILLIC, _GREEK)
    for character, plain in zip(look_alikes, plains, strict=True)
}
_SCRIPTS: Final = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")
_MOST_MARKS: Final = 3
_SHORTEST_IMITATED: Final = 4


class Homepage(NamedTuple):
    """The link to an app's own site: http(s) only, shown by its host in ASCII."""

    url: str
    host: str


def readable(text: str) -> str:
    """``text`` on one line, without characters that hide, turn or stack up; never empty."""
    kept: list[str] = []
    marks = 0
    composed = unicodedata.normalize("NFC", text)
    for index, character in enumerate(composed):
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if _is_hidden(composed, index):
            kept.append(" " if character in "\t\n\r" else "\N{REPLACEMENT CHARACTER}")
        elif marks <= _MOST_MARKS:
            kept.append(character)
    return " ".join("".join(kept).split()) or "(no name)"


def suspicion(name: str, site_name: str) -> str | None:
    """Why a person should doubt this name, as a sentence; ``None`` where nothing is odd about it."""
    skeleton = _skeleton(name)
    for own in (site_name, "Latchkey"):
        imitated = _skeleton(own)
        if skeleton == imitated or (len(imitated) >= _SHORTEST_IMITATED and imitated in skeleton):
            return f"The name resembles “{own}”, but this app is not part of this site."
    lowered = unicodedata.normalize("NFKC", name).casefold()
    if any(word in lowered for word in _OFFICIAL):
        return "The name claims to be official. Nobody on this site has confirmed that."
    if any(_is_hidden(name, index) for index in range(len(name))):
        return "The name holds invisible characters. It may imitate another app."
    if any(len(_scripts(word)) > 1 for word in re.findall(r"\w+", name)):
        return "The name mixes letters of several alphabets. It may imitate another app."
    return None


def initial(name: str) -> str:
    """The letter of a monogram."""
    return next((character.upper() for character in name if character.isalnum()), "?")


def homepage_of(url: str | None) -> Homepage | None:
    """The link, or ``None`` where it is no plain web address (auth_api checks too; here it becomes an href)."""
    if (
        url is None
        or not url.isascii()
        or not url.isprintable()
        or not url.startswith(("https://", "http://"))
    ):
        return None
    try:
        host = urlsplit(url).netloc
    except ValueError:
        return None
    return Homepage(url, host.lower()) if host and "@" not in host and "\\" not in url else None


def _is_hidden(text: str, index: int) -> bool:
    """Whether a reader does not see this character; joiners inside scripts and emoji that need them are seen."""
    return unicodedata.category(text[index]) in _HIDDEN and not joins(text, index)


def _skeleton(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).casefold().translate(_LOOK_ALIKES)
    return "".join(character for character in folded if character.isalnum())


def _scripts(word: str) -> set[str]:
    names = (unicodedata.name(character, "") for character in word if character.isalpha())
    return {script for name in names for script in _SCRIPTS if name.startswith(script)}
