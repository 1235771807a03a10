"""The public keys of a partner that finds leaked keys and signs what it reports, in the form in which GitHub publishes its own.

Pure but for the arithmetic of signatures, which is a library's (cryptography).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from shared.web.public_address import fault_of_address

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

MOST_KEYS: Final = 100
LONGEST_SIGNATURE: Final = 96
"""In characters: two numbers of 33 bytes at most, in DER and base64."""


def read_partner_keys(document: bytes) -> Mapping[str, EllipticCurvePublicKey]:
    """The keys of ``{"public_keys": [{"key_identifier", "key", "is_current"}]}`` by their identifiers.

    ``key`` is a public key in PEM (RFC 7468 §13). Those that are not on the curve P-256 are left out: a partner may sign
    otherwise one day. Keys that are not current stay good, as long as they are published.

    Raises:
        ValueError: there is no key of that kind in it.
    """
    listed = _listed(document)
    keys = {each["key_identifier"]: key for each in listed if (key := _key_of(each)) is not None}
    if not keys:
        raise ValueError("it holds no public key on the curve P-256")
    return keys


def source_of_keys(text: str) -> Path | str:
    """Where an operator says that the keys are: the path of a file with at least one, or an https address.

    Raises:
        ValueError: saying what is expected, and what is wrong.
    """
    if text.startswith("https:"):
        fault = fault_of_address(text, private_targets=True)
        if fault is None:
            return text
    else:
        try:
            read_partner_keys(Path(text).read_bytes())
        except (OSError, ValueError) as error:
            fault = str(error)
        else:
            return Path(text)
    expected = "a file with public keys of a partner (P-256) as GitHub publishes them, or their https address"
    raise ValueError(f"{expected} ({fault})")


def has_signed(key: EllipticCurvePublicKey, signature: str, message: bytes) -> bool:
    """Whether this is the key's signature of exactly these bytes: ECDSA with SHA-256, DER in base64."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    if len(signature) > LONGEST_SIGNATURE:
        return False
    try:
        key.verify(base64.b64decode(signature, validate=True), message, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _listed(document: bytes) -> list[dict[str, Any]]:
    try:
        listed = orjson.loads(document)["public_keys"][:MOST_KEYS]
    except (ValueError, TypeError, KeyError):
        raise ValueError("it is no JSON object with a list public_keys") from None
    return [each for each in listed if isinstance(each, dict)]


def _key_of(listed: Mapping[str, Any]) -> EllipticCurvePublicKey | None:
    """The key of an entry; ``None`` where it is of another kind, or malformed."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    identifier, pem = listed.get("key_identifier"), listed.get("key")
    if not isinstance(identifier, str) or not isinstance(pem, str):
        return None
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    is_fit = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    return key if is_fit else None  # type: ignore[return-value]
