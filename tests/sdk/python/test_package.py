"""The Python package by itself: what is in it, what it needs, what a cached check costs."""

from __future__ import annotations

import ast
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from latchkey_sdk import Guard, Key
from tests.architecture.syntax import parsed
from tests.harness.processes import REPOSITORY
from tests.interop.building import CannotBuildError, made
from tests.sdk.python.latchkey import SERVICE, mint

PACKAGE: Final = REPOSITORY / "sdk" / "python"
SOURCES: Final = sorted((PACKAGE / "src" / "latchkey_sdk").glob("*.py"))
NEEDED: Final = {"asgi.py": "latchkey_sdk", "fastapi.py": "fastapi starlette", "django.py": "django asgiref"}
STEPS: Final = (
    (sys.executable, "-m", "venv", "venv"),
    ("venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "build"),
    ("venv/bin/python", "-m", "build", "--outdir", "dist", "."),
    (sys.executable, "-m", "venv", "clean"),
    ("sh", "-c", "clean/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl"),
)
MICROSECONDS: Final = 20.0
CHECKS: Final = 20_000


@pytest.fixture(scope="module")
def built() -> Path:
    """A folder with both distributions, and an environment that has the wheel and nothing else."""
    try:
        return made(PACKAGE, STEPS)
    except CannotBuildError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_it_builds_and_works_without_the_repository(built: Path) -> None:
    """A wheel and a source distribution, with types, license and one dependency; imported without any framework."""
    (wheel,) = (built / "dist").glob("*.whl")
    (sdist,) = (built / "dist").glob("*.tar.gz")
    modules = {f"latchkey_sdk/{path.name}" for path in SOURCES} | {"latchkey_sdk/py.typed"}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
    assert {name for name in names if ".dist-info/" not in name} == modules
    assert any(name.endswith("/LICENSE") for name in names)
    assert metadata.count("Requires-Dist:") == 1
    assert "Requires-Dist: aiohttp" in metadata
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in modules} | {"README.md", "LICENSE", "pyproject.toml"} <= held
    program = "from latchkey_sdk import Guard, Key, Refused; import latchkey_sdk.asgi, latchkey_sdk.aiohttp"
    command = [str(built / "clean" / "bin" / "python"), "-I", "-W", "error", "-c", program]
    finished = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_its_version_is_ours() -> None:
    """It is released with the services."""
    own, ours = (tomllib.loads((folder / "pyproject.toml").read_text()) for folder in (PACKAGE, REPOSITORY))
    assert own["project"]["version"] == ours["project"]["version"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_it_needs_nothing_but_what_it_says(source: Path) -> None:
    """The standard library, itself and aiohttp; a framework only in its own adapter; nothing of the repository's."""
    allowed = {"latchkey_sdk", "aiohttp", *sys.stdlib_module_names, *NEEDED.get(source.name, "").split()}
    imported = {
        name.partition(".")[0]
        for node in ast.walk(parsed(source))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= allowed


def test_nothing_of_ours_needs_it_but_the_demo() -> None:
    """The container image does without it."""
    users = {
        path.relative_to(REPOSITORY).parts[:2]
        for package in ("services", "shared", "deploy")
        for path in (REPOSITORY / package).rglob("*.py")
        if "latchkey_sdk" in path.read_text(encoding="utf-8")
    }
    assert users <= {("deploy", "demo_app")}


async def test_a_cached_check_is_cheap() -> None:
    """Below 20 µs, in time of this thread: the machine may be busy."""
    guard, key = Guard("http://127.0.0.1:1", SERVICE), mint()
    known = Key(key.key_id, 2, "b", None, None, frozenset({"customise_score", "delete_score"}))
    best = float("inf")
    for _ in range(5):
        guard._memory.learn(sha256(key.token.encode()).digest(), known, guard._memory._clock(), 60.0)
        begun = time.thread_time()
        for _ in range(CHECKS):
            await guard.check(key.token, "customise_score")
        best = min(best, (time.thread_time() - begun) / CHECKS * 1e6)
    print(f"a cached check costs {best:.2f} µs")  # noqa: T201 - to be read with -s
    assert best < MICROSECONDS
