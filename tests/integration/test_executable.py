"""The executable `latchkey`: how it finds a Python, makes its environment once, and gets out of the way.

A repository of stand-ins: its `uv` notes each call, its environment's `python` prints what it was given. The real
installation is what every other run of the suite stands on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
UV = """#!/bin/sh
echo "uv $1" >> "$UV_LOG"
[ -z "$UV_FAILS" ] || exit 1
case $1 in
    venv) for last; do :; done; mkdir -p "$last/bin"; cp "$FAKE_PYTHON" "$last/bin/python" ;;
    pip) [ -z "$UV_HANGS" ] || { : > "$UV_HANGS"; exec sleep 60; } ;;
esac
"""
PYTHON = """#!/bin/sh
echo "$$ $*"
"""
OLD_PYTHON = """#!/bin/sh
[ "$1" = --version ] && { echo "Python 3.9.2"; exit 0; }
exit 1
"""


@dataclass(frozen=True)
class Clone:
    """A repository of stand-ins and the machine it is on."""

    root: Path
    machine: Path

    def environment(self, **variables: str) -> dict[str, str]:
        """A bare machine: the stand-ins, this Python as `python3`, and the usual tools."""
        given = {
            "PATH": f"{self.machine}:/usr/bin:/bin",
            "LATCHKEY_PYTHON": sys.executable,
            "UV_LOG": str(self.root / "uv.log"),
            "FAKE_PYTHON": str(self.machine / "fake-python"),
        }
        return {name: value for name, value in {**given, **variables}.items() if value}

    def run(
        self, *arguments: str, program: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs the executable from the root directory."""
        return subprocess.run(
            [program or self.root / "latchkey", *arguments],
            env=self.environment(**variables),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def installs(self) -> int:
        """How often packages were installed."""
        log = self.root / "uv.log"
        return log.read_text().count("uv pip") if log.exists() else 0


def write_program(path: Path, text: str) -> None:
    """An executable file."""
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A fresh one, in a directory whose name has a space."""
    root, machine = tmp_path / "my clone", tmp_path / "machine"
    (root / "deploy").mkdir(parents=True)
    (root / "requirements").mkdir()
    machine.mkdir()
    shutil.copy2(REPOSITORY / "latchkey", root)
    shutil.copy2(REPOSITORY / "deploy" / "bootstrap.py", root / "deploy")
    for name in ("latchkey", "dev"):
        (root / "requirements" / f"{name}.lock").write_text(f"{name} 1")
    write_program(machine / "uv", UV)
    write_program(machine / "fake-python", PYTHON)
    return Clone(root, machine)


def test_the_environment_is_made_once_and_quietly(clone: Clone) -> None:
    """The first run installs and tells so on stderr; the second says nothing of it."""
    first, second = clone.run("env", "--x"), clone.run("env")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert first.stdout.split(" ", 1)[1] == "-P -m deploy.cli env --x\n", "stdout is the command's alone"
    assert "installing" in first.stderr
    assert second.stderr == ""
    assert clone.installs() == 1


def test_it_becomes_the_command(clone: Clone) -> None:
    """The process id of the executable is the command's."""
    clone.run("env")
    process = subprocess.Popen(
        [clone.root / "latchkey", "env"], env=clone.environment(), stdout=subprocess.PIPE, text=True
    )
    out, _ = process.communicate(timeout=60)
    assert out.split()[0] == str(process.pid)


def test_it_works_through_a_symlink_from_anywhere(clone: Clone, tmp_path: Path) -> None:
    """A link on the PATH, even a relative one to a link, leads to the repository."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "direct").symlink_to(clone.root / "latchkey")
    (tmp_path / "bin" / "lk").symlink_to("direct")
    ended = clone.run("env", program=tmp_path / "bin" / "lk")
    assert ended.returncode == 0, ended.stderr
    assert (clone.root / ".venv").exists()


def test_a_changed_lock_is_installed(clone: Clone) -> None:
    """A pull that changes the pins is followed by an installation at the next run."""
    clone.run("env")
    (clone.root / "requirements" / "latchkey.lock").write_text("latchkey 2")
    assert "installing" in clone.run("env").stderr
    assert clone.run("env").stderr == ""
    assert clone.installs() == 2


def test_tests_and_checks_need_more(clone: Clone) -> None:
    """`test` and `check` install the development lock, which includes the other."""
    clone.run("env")
    assert "dev.lock" in clone.run("check").stderr
    assert clone.run("env").stderr == clone.run("test").stderr == ""
    assert clone.installs() == 2


def test_an_interrupted_installation_is_not_believed(clone: Clone) -> None:
    """After kill -9 in the midst of it the environment is made anew."""
    hanging = clone.root / "hanging"
    process = subprocess.Popen(
        [clone.root / "latchkey", "env"],
        env=clone.environment(UV_HANGS=str(hanging)),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(hanging.exists)
    (clone.root / ".venv" / "half-installed").touch()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    ended = clone.run("env")
    assert ended.returncode == 0, ended.stderr
    assert "making it anew" in ended.stderr
    assert not (clone.root / ".venv" / "half-installed").exists()


def test_first_starts_at_once_do_not_collide(clone: Clone) -> None:
    """Of many that start together one installs; all run."""
    with ThreadPoolExecutor(6) as pool:
        ended = list(pool.map(lambda _: clone.run("env"), range(6)))
    assert [process.returncode for process in ended] == [0] * 6
    assert clone.installs() == 1


def test_a_failed_installation_says_what_helps(clone: Clone) -> None:
    """Without a network: exit code 1, the reason, nothing on stdout, and the next run tries again."""
    (clone.root / "requirements" / "latchkey.lock").write_text("nothing==1 --hash=sha256:" + "0" * 64)
    ended = clone.run("env", UV_FAILS="1", PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "could not be installed" in ended.stderr
    assert "Without a network" in ended.stderr
    assert clone.run("env").returncode == 0


def test_an_old_python_is_refused(clone: Clone) -> None:
    """A Python before 3.11, named or found, is refused with its version."""
    for name in ("python3.13", "python3.12", "python3.11", "python3", "python"):
        write_program(clone.machine / name, OLD_PYTHON)
    ended = clone.run("env", LATCHKEY_PYTHON="")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "needs Python 3.11 or newer, and this machine has Python 3.9.2" in ended.stderr
    named = clone.run("env", LATCHKEY_PYTHON=str(clone.machine / "python3"))
    assert named.returncode == 1
    assert "Python 3.9.2" in named.stderr
    assert not (clone.root / ".venv").exists()


def test_no_python_is_told(clone: Clone, tmp_path: Path) -> None:
    """A machine without any Python gets a sentence, not a shell's error."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "readlink", "cmp", "tail"):
        (tools / name).symlink_to(shutil.which(name) or name)
    ended = clone.run("env", LATCHKEY_PYTHON="", PATH=str(tools))
    assert ended.returncode == 1
    assert "this machine has no Python" in ended.stderr


def test_a_ready_environment_is_taken_as_it_is(clone: Clone) -> None:
    """LATCHKEY_VENV, as in the container image: nothing is installed."""
    (clone.root / "image" / "bin").mkdir(parents=True)
    shutil.copy2(clone.machine / "fake-python", clone.root / "image" / "bin" / "python")
    ended = clone.run("serve", LATCHKEY_VENV=str(clone.root / "image"))
    assert ended.stdout.split(" ", 1)[1] == "-P -m deploy.cli serve\n"
    assert clone.installs() == 0
    assert clone.run("serve", LATCHKEY_VENV=str(clone.root / "nowhere")).returncode == 1


def wait_until(is_so: Callable[[], bool]) -> None:
    """Polls until something is so."""
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
