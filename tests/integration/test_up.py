"""`latchkey up` as a person runs it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

from deploy.embedded.ports import free_port
from tests.harness.processes import LATCHKEY, clean_environ, command, is_ready, starting

READY = "Latchkey is ready at "


def sign_up(url: str, username: str) -> int:
    """Makes an account; its id."""
    request = urllib.request.Request(
        f"{url}/api/v1/users",
        data=json.dumps({"username": username, "password": "correct horse battery"}).encode(),
        headers={"Content-Type": "application/json", "Origin": url},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(json.load(answer)["userID"])


def test_up_says_where_it_is_and_keeps_its_data(folder: Path) -> None:
    """It prints its address when it is ready, stops with 0, and the next one knows the people of the first."""
    port, data_dir = free_port(), str(folder / "data")
    url = f"http://127.0.0.1:{port}"
    for expected in (1, 2):
        with starting(
            "up", "--port", str(port), "--data-dir", data_dir, folder=folder, executable=True
        ) as up:
            up.wait_until(lambda: READY in up.output(), "it was ready")
            assert f"{READY}{url}\n" in up.output()
            assert is_ready(url)
            assert sign_up(url, f"person{expected}") == expected
            environment = command("env", "--data-dir", data_dir).splitlines()
            assert environment[-1] == f"LATCHKEY_PUBLIC_URL={url}"
            assert up.stop() == 0
        assert not is_ready(url)


def test_a_taken_port_and_a_taken_directory_are_clear_errors(folder: Path) -> None:
    """A second `up` says what is in its way, ends with 1, and harms nothing."""
    port, data_dir = free_port(), str(folder / "data")
    with starting("up", "--port", str(port), "--data-dir", data_dir, folder=folder, executable=True) as up:
        up.wait_until(lambda: READY in up.output(), "it was ready")
        other = str(folder / "other")
        for place, wanted, reason in (
            (other, port, f"cannot listen on 127.0.0.1 port {port}"),
            (data_dir, free_port(), f"{data_dir} is in use by process {up.pid}"),
        ):
            second = subprocess.run(
                [LATCHKEY, "up", "--port", str(wanted), "--data-dir", place],
                env=clean_environ(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert (second.returncode, second.stdout) == (1, "")
            assert reason in second.stderr
            assert "Traceback" not in second.stderr
        assert is_ready(f"http://127.0.0.1:{port}")
        assert not Path(other).exists()


def test_up_stops_while_it_starts(folder: Path) -> None:
    """SIGTERM during the very first start ends it with 0 and leaves a usable data directory."""
    arguments = ("up", "--port", str(free_port()), "--data-dir", str(folder / "data"))
    with starting(*arguments, folder=folder, executable=True) as up:
        up.wait_until((folder / "data" / "latchkey.json").exists, "it had begun")
        assert up.stop() == 0
        assert READY not in up.output()
        assert "Traceback" not in up.output()
    with starting(*arguments, folder=folder, executable=True) as up:
        up.wait_until(lambda: READY in up.output(), "it was ready")
