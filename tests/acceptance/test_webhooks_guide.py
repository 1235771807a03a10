"""The programs of docs/webhooks.md, taken from the page and run as they stand on deliveries as we sign them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import pytest

from services.auth_api.webhooks.keys import derive_key
from services.auth_api.webhooks.signing import signature_header
from shared.contracts.events import RevocationReason
from tests.acceptance.documents import blocks, section
from tests.harness.processes import REPOSITORY
from tests.interop.building import CannotBuildError, made, need
from tests.interop.libraries import NPM_INSTALL
from tests.interop.test_webhook_receivers import RECEIVERS

DOCUMENT: Final = (REPOSITORY / "docs" / "webhooks.md").read_text(encoding="utf-8")
PAGE: Final = section(DOCUMENT, "Check it")
BODY: Final = b'{"type":"webhook.test","timestamp":"2026-11-29T11:38:54.000Z","data":{"clientID":"CI1"}}'
OURS: Final = derive_key(b"s" * 32, "CI1", 1, None)
OTHERS: Final = derive_key(b"s" * 32, "CI2", 1, None)
_READ_PYTHON: Final = """
import json, sys
from base64 import b64decode
body, headers = (each(part) for each, part in zip((b64decode, json.loads), sys.argv[1:], strict=True))
"""
_READ_NODE: Final = """
const [body, headers] = [Buffer.from(process.argv[2], "base64"), JSON.parse(process.argv[3])];
"""


@dataclass(frozen=True)
class Shown:
    """A program of the page: how it is written into a folder, and called with a body and headers."""

    command: Callable[[Path], list[str]]


def _python(block: int, last_line: str) -> Shown:
    text = f"{blocks(PAGE, 'python')[block]}{_READ_PYTHON}{last_line}\n"
    return Shown(lambda folder: [sys.executable, _written(folder / "shown.py", text)])


def _node(last_line: str) -> Shown:
    text = f"{blocks(PAGE, 'js')[0]}{_READ_NODE}{last_line}\n"

    def command(folder: Path) -> list[str]:
        try:
            need("node", "npm")
            packages = made(RECEIVERS / "node", [NPM_INSTALL]) / "node_modules"
        except CannotBuildError as error:
            pytest.skip(str(error))
        (folder / "node_modules").symlink_to(packages)
        return ["node", _written(folder / "shown.mjs", text)]

    return Shown(command)


def _written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


SHOWN: Final = {
    "Python": _python(0, 'print(receive(body, headers)["type"])'),
    "Node": _node("console.log(receive(body, headers).type);"),
    "Python, with the public key": _python(
        1, 'assert is_ours(body, headers); print(json.loads(body)["type"])'
    ),
}


@pytest.mark.parametrize("language", SHOWN)
def test_a_program_of_the_page_takes_our_deliveries_alone(language: str, tmp_path: Path) -> None:
    """Also in an overlap, by the old keys; one that was changed and one of another client are refused."""
    command, now = SHOWN[language].command(tmp_path), int(time.time())
    ours = signature_header([OTHERS, OURS], "msg_0001", now, BODY)
    cases = (
        (BODY, ours, True),
        (BODY.replace(b"CI1", b"CI2"), ours, False),
        (BODY, signature_header([OTHERS], "msg_0001", now, BODY), False),
    )
    for body, signature, accepted in cases:
        headers = {
            "webhook-id": "msg_0001",
            "webhook-timestamp": str(now),
            "webhook-signature": signature,
        }
        finished = subprocess.run(
            [*command, b64encode(body).decode(), json.dumps(headers)],
            env={**os.environ, "WEBHOOK_SECRET": OURS.secret, "WEBHOOK_PUBLIC_KEY": OURS.public_key},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (finished.stdout.strip() == "webhook.test") is accepted, finished.stderr
        assert (finished.returncode == 0) is accepted


def test_the_page_names_every_reason_for_which_grants_end() -> None:
    """Those of the contract, in the row of their type."""
    (row,) = [line for line in DOCUMENT.splitlines() if line.startswith("| `grant.revoked`")]
    assert set(re.findall(r"`(\w+_\w+)`", row)) == set(get_args(RevocationReason))
