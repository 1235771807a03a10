"""Names of hosts as DNS can know them (RFC 1035 §2.3.4, RFC 1123 §2.1)."""

from __future__ import annotations

import re
from typing import Final

LONGEST_HOST: Final = 253
"""In characters, without the dot of the root."""

_LABEL: Final = re.compile(r"[A-Za-z0-9-]{1,63}", re.ASCII)


def is_host_name(host: str) -> bool:
    """Whether DNS could know a host by this name, with or without the dot of the root; one pass, whatever it is.

    An IPv4 address passes too: only who resolves it sees the difference.
    """
    name = host.removesuffix(".")
    return len(name) <= LONGEST_HOST and all(
        _LABEL.fullmatch(label) and not label.startswith("-") and not label.endswith("-")
        for label in name.split(".")
    )
