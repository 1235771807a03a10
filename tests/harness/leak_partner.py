"""A partner that finds leaked keys: its key pair, what it publishes, and what it sends."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

IDENTIFIER: Final = "Github-Public-Key-Identifier"
SIGNATURE: Final = "Github-Public-Key-Signature"


class Partner:
    """One key pair, under the name by which reports refer to it."""

    def __init__(self, identifier: str = "90a421169f0a406205f1563a953312f0be898d3c") -> None:
        """Makes a pair."""
        self.identifier = identifier
        self._key = ec.generate_private_key(ec.SECP256R1())

    def entry(self, *, current: bool = True) -> dict[str, Any]:
        """How it is listed among the keys that the partner publishes."""
        pem = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return {"key_identifier": self.identifier, "key": pem.decode(), "is_current": current}

    def headers(self, body: bytes) -> dict[str, str]:
        """The headers of a report with this body."""
        signature = base64.b64encode(self._key.sign(body, ec.ECDSA(SHA256())))
        return {
            "Content-Type": "application/json",
            IDENTIFIER: self.identifier,
            SIGNATURE: signature.decode(),
        }


def published(*partners: Partner) -> bytes:
    """The document with these keys."""
    return json.dumps({"public_keys": [each.entry() for each in partners]}).encode()


def match(token: object, token_type: str = "latchkey_key") -> dict[str, Any]:
    """One entry of a report."""
    return {"token": token, "type": token_type, "url": "https://code.example/a/b.txt", "source": "content"}
