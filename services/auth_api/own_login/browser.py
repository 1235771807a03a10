"""Sign-ins under way in one browser: the newest two, in one cookie that no number of them makes longer.

Each is a secret that binds the challenge to this browser, and where the person goes on afterwards. Two tabs that begin at
once both arrive; a step that is repeated (Back, reload) finds its sign-in again, since arriving takes nothing away.
"""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import dataclass
from typing import Final

from shared.web.redirects import LONGEST_TARGET, is_own_target

MOST_UNDER_WAY: Final = 2
LONGEST_ENTRY: Final = 1_800
"""Two of them and the cookie's name stay below the 4 KB that browsers and proxies carry."""
_ENTRY: Final = re.compile(r"([0-9A-Za-z]{43})\.([0-9A-Za-z_-]{1,1800})(?:\.([0-9]{1,18}))?", re.ASCII)
_BETWEEN: Final = "~"


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A sign-in that this browser has begun."""

    secret: str
    target: str
    """A path of ours."""
    linking: int | None = None
    """The account to which the login is to be linked, where the person asked for that; else it signs them in."""

    def to_text(self) -> str | None:
        """As the cookie carries it; ``None`` where the target is too long for that."""
        packed = base64.urlsafe_b64encode(zlib.compress(self.target.encode("ascii", "replace"), 9))
        text = f"{self.secret}.{packed.decode().rstrip('=')}"
        if self.linking is not None:
            text += f".{self.linking}"
        return text if len(text) <= LONGEST_ENTRY else None


def read_under_way(cookie: str) -> tuple[UnderWay, ...]:
    """What the cookie holds, newest first; what cannot be ours is passed over. Nothing in it is believed by itself."""
    if len(cookie) > MOST_UNDER_WAY * (LONGEST_ENTRY + 1):
        return ()
    read = (_read_entry(text) for text in cookie.split(_BETWEEN)[:MOST_UNDER_WAY])
    return tuple(entry for entry in read if entry is not None)


def add_under_way(cookie: str, begun: UnderWay) -> str | None:
    """The cookie with one more sign-in, the oldest left out; ``None`` where its target is too long."""
    text = begun.to_text()
    if text is None:
        return None
    kept = [entry.to_text() or "" for entry in read_under_way(cookie)][: MOST_UNDER_WAY - 1]
    return _BETWEEN.join([text, *kept])


def _read_entry(text: str) -> UnderWay | None:
    found = _ENTRY.fullmatch(text)
    if found is None:
        return None
    try:
        packed = base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4))
        unpacked = zlib.decompressobj()
        target = unpacked.decompress(packed, LONGEST_TARGET).decode("ascii")
    except (ValueError, zlib.error):
        return None
    if not is_own_target(target):
        return None
    return UnderWay(found[1], target, None if found[3] is None else int(found[3]))
