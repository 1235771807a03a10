"""What receivers make of our signatures: the published libraries for `v1`, an Ed25519 of two other makers for `v1a`."""

from __future__ import annotations

import json
import subprocess
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from services.auth_api.webhooks.keys import Versions, derive_key
from services.auth_api.webhooks.signing import WebhookKey, signature_header
from tests.interop.building import CannotBuildError, made, need
from tests.interop.libraries import NPM_INSTALL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]  # the first waits for its packages

RECEIVERS: Final = Path(__file__).resolve().parent / "receivers"
SECRETS: Final = (b"n" * 32, b"o" * 32)
BODY: Final = '{"type":"key.revoked","data":{"keyID":"abc","externalUser":"Zoë ✓"}}'.encode()
CHANGED: Final[dict[str, dict[str, Any]]] = {
    "another body": {"body": BODY.replace(b"abc", b"abd")},
    "one more byte": {"body": BODY + b" "},
    "another id": {"webhook_id": "msg_other"},
    "no signature": {"signature": "v1,"},
}

Verdict = tuple[bool, bool]
"""Whether the library accepts `v1`, and whether `v1a` is right."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery as it arrives, and the keys that its receiver was given."""

    webhook_id: str
    timestamp: int
    body: bytes
    signature: str
    receiver: WebhookKey

    @property
    def headers(self) -> dict[str, str]:
        """The three of the specification."""
        return {
            "webhook-id": self.webhook_id,
            "webhook-timestamp": str(self.timestamp),
            "webhook-signature": self.signature,
        }


def key(version: int = 1, client_id: str = "CI1", secret: bytes = SECRETS[0]) -> WebhookKey:
    """The keys of a version."""
    return derive_key(secret, client_id, version, None)


def sent(signing: Iterable[WebhookKey], receiver: WebhookKey, *, age: int = 0) -> Sent:
    """A delivery as we send it, signed so many seconds ago."""
    at = int(time.time()) - age
    return Sent("msg_1", at, BODY, signature_header(signing, "msg_1", at, BODY), receiver)


def overlap() -> list[WebhookKey]:
    """What signs while a rotation overlaps."""
    now = time.time_ns() // 1_000_000
    versions = Versions().rotated(now, now + 60_000, "")
    return [key(version) for version, _ in versions.live(now)]


def cases() -> dict[str, tuple[Sent, Verdict]]:
    """What is sent, and what is right about it; made when it is sent: a whole run is longer than a library waits."""
    good = sent([key()], key())
    changed = {**CHANGED, "another time": {"timestamp": good.timestamp - 60}}
    return {
        "as it is": (sent([key()], key()), (True, True)),
        "in an overlap, to the new keys": (sent(overlap(), key(2)), (True, True)),
        "in an overlap, to the old keys": (sent(overlap(), key(1)), (True, True)),
        "in an overlap, to keys of neither": (sent(overlap(), key(3)), (False, False)),
        "after the overlap, to the old keys": (sent([key(2)], key(1)), (False, False)),
        "while the server's secret rotates": (
            sent([key(), key(secret=SECRETS[1])], key(secret=SECRETS[1])),
            (True, True),
        ),
        "to another client": (sent([key()], key(client_id="CI2")), (False, False)),
        # How old a delivery may be is for the library to say; the signature is right.
        "too old": (sent([key()], key(), age=301), (False, True)),
        "from the future": (sent([key()], key(), age=-330), (False, True)),
        **{name: (replace(good, **change), (False, False)) for name, change in changed.items()},
    }


def in_python(deliveries: Sequence[Sent]) -> list[Verdict]:
    """As a receiver in Python."""
    return [(_by_library(each), _by_public_key(each)) for each in deliveries]


def in_node(deliveries: Sequence[Sent]) -> list[Verdict]:
    """As a receiver in Node."""
    try:
        need("node", "npm")
        program = made(RECEIVERS / "node", [NPM_INSTALL]) / "receive.mjs"
    except CannotBuildError as error:
        pytest.skip(str(error))
    asked = [
        {
            "secret": each.receiver.secret,
            "publicKey": each.receiver.public_key,
            "headers": each.headers,
            "body": b64encode(each.body).decode(),
        }
        for each in deliveries
    ]
    finished = subprocess.run(
        ["node", str(program)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [(by_library, by_public_key) for by_library, by_public_key in json.loads(finished.stdout)]


@pytest.mark.spec(
    "Standard Webhooks",
    "Signature scheme",
    "`v1` and `v1a` are accepted as they are sent, and refused changed, old or foreign",
)
@pytest.mark.parametrize("receive", [in_python, in_node], ids=["Python", "Node"])
def test_receivers_accept_what_we_sign_and_nothing_else(
    receive: Callable[[Sequence[Sent]], list[Verdict]],
) -> None:
    """Changed, old and foreign ones are refused; a rotation's overlap is accepted with either keys."""
    expected = cases()

    verdicts = receive([delivery for delivery, _ in expected.values()])

    assert dict(zip(expected, verdicts, strict=True)) == {
        name: verdict for name, (_, verdict) in expected.items()
    }


def _by_library(delivery: Sent) -> bool:
    try:
        Webhook(delivery.receiver.secret).verify(delivery.body, delivery.headers)
    except WebhookVerificationError:
        return False
    return True


def _by_public_key(delivery: Sent) -> bool:
    public = Ed25519PublicKey.from_public_bytes(
        b64decode(delivery.receiver.public_key.removeprefix("whpk_"), validate=True)
    )
    content = f"{delivery.webhook_id}.{delivery.timestamp}.".encode() + delivery.body
    for signature in delivery.signature.split(" "):
        if signature.startswith("v1a,"):
            try:
                public.verify(b64decode(signature[4:], validate=True), content)
            except InvalidSignature:
                continue
            return True
    return False
