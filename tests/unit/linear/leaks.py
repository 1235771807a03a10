"""What strangers may send where leaked keys are reported: lists, and signatures that are not the partner's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from services.key_issuer.handlers import report_leak
from shared.partner_keys import has_signed, read_partner_keys
from tests.harness.leak_partner import SIGNATURE, Partner, published

__all__ = ["SIGNATURE", "TEXTS", "many", "signature_header"]

_PARTNER: Final = Partner()
_KEY: Final = read_partner_keys(published(_PARTNER))[_PARTNER.identifier]


def signature(text: str) -> object:
    """A signature, and what is signed."""
    return has_signed(_KEY, text, b""), has_signed(
        _KEY, "MAYCAQECAQE=", text.encode("utf-8", "surrogatepass")
    )


def signature_header(request: Any) -> object:
    """The header that carries it."""
    return report_leak._only(request, SIGNATURE)


def listed(text: str) -> object:
    """A report, which is read only after its signature."""
    return report_leak.read_matches(text.encode("utf-8", "surrogatepass"))


def many(count: int) -> bytes:
    """A report with so many entries."""
    return b"[" + b",".join([b'{"token":"lku_a","type":"b"}'] * count) + b"]"


TEXTS: Final[Sequence[tuple[str, Any, int, tuple[str, ...]]]] = (
    ("a report's signature", signature, 8_000, ("", "MAYC")),
    ("a report of leaked keys", listed, 100_000, ("", "[", '[{"token":"', '[{"token":-0.', "[9")),
)
"""Name, reader, longest, beginnings."""
