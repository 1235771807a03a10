"""Passwords that everybody knows: the list that the library ``zxcvbn`` ships (MIT), compared without a network.

Of its 30,000 most frequent passwords 11,611 are long enough to be one here. The library's estimator is not used, nor even
imported: it would keep ten further megabytes of words and names in memory.
"""

from __future__ import annotations

import runpy
import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from services.auth_api.accounts.passwords import SHORTEST_PASSWORD

LIBRARY: Final = "zxcvbn"
_LISTS: Final = "frequency_lists.py"
_NAME: Final = "FREQUENCY_LISTS"


def is_common(password: str) -> bool:
    """Whether guessers try this password first; upper case and full width make no other password of it.

    The first call reads the list: 50 ms and 5 MB, which only processes pay in which somebody chooses a password.
    """
    return folded(password) in _common_passwords()


def folded(text: str) -> str:
    """What remains of a text without compatibility forms and case (Unicode Standard, toNFKC_Casefold without deletions)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@cache
def _common_passwords() -> frozenset[str]:
    found = find_spec(LIBRARY)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(name=LIBRARY)
    lists = runpy.run_path(str(Path(found.origin).with_name(_LISTS)))[_NAME]
    return frozenset(folded(word) for word in lists["passwords"] if len(word) >= SHORTEST_PASSWORD)
