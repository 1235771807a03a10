"""The secret by which receivers check ``v1`` signatures: derived wherever it is shown or used, so that it rests nowhere.

Nor does it cross the bus: who shows it to an author derives it, and compares its digest with that of what signs.
"""

from __future__ import annotations

from base64 import b64encode

from shared.secret_tokens import keyed_digest


def derive_hmac_key(secret: bytes, client_id: str, version: int) -> bytes:
    """The HMAC key of one version of a client's webhook keys under one of the server's secrets: 32 bytes."""
    return bytes.fromhex(keyed_digest(secret, "webhook hmac", client_id, str(version)))


def written_secret(hmac_key: bytes) -> str:
    """As receivers are given it by the Standard Webhooks specification: ``whsec_`` and base64."""
    return f"whsec_{b64encode(hmac_key).decode()}"
