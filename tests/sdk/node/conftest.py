"""The package as it is packed and installed, and the programs beside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.harness.processes import REPOSITORY
from tests.interop.building import CannotBuildError, made, need
from tests.interop.libraries import NPM_INSTALL

PACKAGE: Final = REPOSITORY / "sdk" / "node"
PROGRAMS: Final = Path(__file__).resolve().parent / "programs"
SECONDS: Final = 280
"""For a tool on a busy machine."""


def run(*arguments: str | Path, folder: Path) -> str:
    """Runs a tool to its end; its stdout. Fails with all that it said where it does."""
    finished = subprocess.run(
        arguments, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert finished.returncode == 0, (finished.stdout + finished.stderr)[-5000:]
    return finished.stdout


@pytest.fixture(scope="session")
def node() -> str:
    """Where Node is; tests are skipped where it is not."""
    try:
        need("node", "npm")
    except CannotBuildError as error:
        pytest.skip(str(error))
    return shutil.which("node") or ""


@pytest.fixture(scope="session")
def packed(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm pack` makes."""
    folder = tmp_path_factory.mktemp("packed")
    run("npm", "pack", "--silent", "--pack-destination", folder, folder=PACKAGE)
    (package,) = folder.iterdir()
    return package


@pytest.fixture(scope="session")
def installed(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, as its user installs it, and the programs; their libraries are found one folder up."""
    try:
        libraries = made(PROGRAMS, [NPM_INSTALL])
    except CannotBuildError as error:
        pytest.skip(str(error))
    above = tmp_path_factory.mktemp("programs")
    (above / "node_modules").symlink_to(libraries / "node_modules")
    folder = above / "app"
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true, "type": "module"}', encoding="utf-8")
    run(*NPM_INSTALL, "--offline", packed, folder=folder)
    for program in PROGRAMS.glob("*.*s"):
        shutil.copy(program, folder)
    return folder
