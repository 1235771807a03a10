"""Schemathesis over the whole OpenAPI document: no 5xx, no undocumented status, every body as its schema says."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.harness.kept import KEPT
from tests.harness.people import Account
from tests.harness.processes import REPOSITORY, running_up

LOCK: Final = REPOSITORY / "requirements" / "fuzz.lock"
SESSION: Final = "/api/v1/session"
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "allow_header_conformance",
    "unsupported_method",
)


ALSO_AN_ID = "/api/v1/external-users/end"
"""Somebody's external id may be ``end``: what is understood there is more than the description of this path says."""


@pytest.fixture(scope="session")
def fuzzer() -> Path:
    """The fuzzer's program, in an environment made from its lock: it pins libraries that the services must not."""
    made_from = f"{sys.version} {sys.base_prefix} {LOCK.read_text(encoding='utf-8')}"
    environment = KEPT / f"fuzzer-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"
    ready = environment / "ready"
    environment.mkdir(parents=True, exist_ok=True)
    with (environment.parent / f"{environment.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another clone may be making it
        if not ready.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
            pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            # Most of what it installs is never imported, so it is not compiled beforehand.
            subprocess.run([*pip, "--no-compile", "--require-hashes", "-r", str(LOCK)], check=True)
            ready.touch()
    return environment / "bin" / "st"


@pytest.mark.slow
@pytest.mark.timeout(1500)
async def test_the_description_holds_for_whatever_is_sent(
    fuzzer: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Signed in as the author of a client and the owner of a key, with the client's credentials or without any."""
    examples = pytestconfig.getoption("--fuzz-examples")
    environ = {
        "LATCHKEY_THROTTLE": "off",
        "LATCHKEY_REGISTRATION": "on",
        "LATCHKEY_CLIENTS_PER_USER": "100000",
        "LATCHKEY_KEYS_PER_USER": "100000",
    }
    with running_up(tmp_path, environ=environ) as url:
        async with Account(url) as account:
            client = await account.register(redirectUri="https://client.example/callback")
            key = await account.send(
                "POST", "/api/v1/keys", {"identifier": "fuzzed", "permissions": ["customise_score"]}, 201
            )
            (tmp_path / "schemathesis.toml").write_text(
                f'[parameters]\n"path.clientID" = "{client.client_id}"\n"path.keyID" = "{key["keyID"]}"\n'
            )
            session = "; ".join(f"{name}={value}" for name, value in account.cookies.items())
            sent = 0
            # Signing in and out would end the session that everything else is tried with: last.
            for paths, unchecked in (
                (("--exclude-path", SESSION, "--exclude-path", ALSO_AN_ID), ()),
                (("--include-path", ALSO_AN_ID), ("allow_header_conformance",)),
                (("--include-path", SESSION), ()),
            ):
                checks = [check for check in CHECKS if check not in unchecked]
                command = [
                    str(fuzzer),
                    "run",
                    f"{url}/api/v1/openapi.json",
                    *("-H", f"Cookie: {session}", "-H", f"Origin: {url}"),
                    *("--checks", ",".join(checks), "--phases", "examples,coverage,fuzzing"),
                    *("-n", examples, "--continue-on-failure", "--warnings", "off"),
                    *paths,
                ]
                finished = await asyncio.to_thread(
                    subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, check=False
                )
                assert finished.returncode == 0, finished.stdout[-8000:]
                generated = re.search(r"(\d+) generated", finished.stdout)
                assert generated is not None, finished.stdout[-2000:]
                sent += int(generated[1])
    sys.stdout.write(f"{sent} requests\n")
    assert sent > 500
