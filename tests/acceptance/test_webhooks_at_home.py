"""The receiver of docs/webhooks.md, made, registered and told of a revocation as the page says, beside `./latchkey up`."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from deploy.embedded.ports import free_port
from tests.acceptance.documents import blocks, paste, section
from tests.harness.backends import new_folder
from tests.harness.processes import REPOSITORY, running_up

PAGE: Final = section(
    (REPOSITORY / "docs" / "webhooks.md").read_text(encoding="utf-8"), "Try it on your own machine"
)
FLOW: Final = section((REPOSITORY / "README.md").read_text(encoding="utf-8"), "The flow in curl")
SECONDS: Final = 30.0


def test_the_receiver_of_the_page_hears_of_a_revocation(run_directory: Path, tmp_path: Path) -> None:
    """Both events, checked by the library over TLS that Latchkey believes."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make the certificate of the page")
    certificate, _, started = blocks(PAGE)[0].rpartition("LATCHKEY_PRIVATE_TARGETS=")
    paste([certificate], tmp_path)
    settings = dict(each.split("=", 1) for each in f"LATCHKEY_PRIVATE_TARGETS={started}".split()[:2])
    settings["SSL_CERT_FILE"] = str(tmp_path / settings["SSL_CERT_FILE"])
    port = str(free_port())
    (program,) = blocks(PAGE, "python")
    (tmp_path / "receiver.py").write_text(program.replace("8443", port), encoding="utf-8")
    (registered,) = blocks(PAGE)[1:]
    registered = registered.replace("8443", port).replace("python3 receiver.py &", "")
    *flow, taken_back = blocks(FLOW)
    with running_up(new_folder(run_directory), environ=settings) as url:
        begun = [block.replace("http://127.0.0.1:8080", url) for block in [*flow, registered]]
        *_, shown = paste([*begun, 'echo "secret=$WEBHOOK_SECRET"'], tmp_path)
        secret = re.findall(r"^secret=(.+)$", shown, re.MULTILINE)[0]
        with (tmp_path / "heard").open("wb") as heard:
            receiver = subprocess.Popen(
                [sys.executable, "receiver.py"],
                cwd=tmp_path,
                env={**os.environ, "WEBHOOK_SECRET": secret},
                stdout=heard,
                stderr=subprocess.DEVNULL,
            )
        try:
            token = json.loads((tmp_path / "token.json").read_text(encoding="utf-8"))
            names = f"site={url}; client_id={token['fromAPIClient']}; key={token['access_token']}"
            paste([names, taken_back], tmp_path)
            types = _heard(tmp_path / "heard", 2)
        finally:
            receiver.send_signal(signal.SIGTERM)
            receiver.wait(SECONDS)
    assert types == {"grant.revoked", "key.revoked"}


def _heard(printed: Path, count: int) -> set[str]:
    """The types of the events that the receiver printed, once there are so many."""
    deadline = time.monotonic() + SECONDS
    while len(lines := printed.read_text(encoding="utf-8").splitlines()) < count:
        assert time.monotonic() < deadline, f"heard of {lines}"
        time.sleep(0.05)
    return {ast.literal_eval(line)["type"] for line in lines}
