"""Makes other people's programs from what their languages' registries hold, once for the same sources."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.harness.kept import KEPT, compiled_briefly

BUILT: Final = KEPT / "interop"
"""In a folder named for the sources and the steps."""
BUILD_SECONDS: Final = 600
COMPILED: Final = "__pycache__"
"""No source: it holds the times of this clone."""

Command = Sequence[str]


class CannotBuildError(Exception):
    """The language or its packages are not to be had here; the message says which."""


def need(*programs: str) -> None:
    """Finds that these programs are installed.

    Raises:
        CannotBuildError: naming those that are not.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise CannotBuildError(f"not installed here: {', '.join(missing)}")


def made(sources: Path, steps: Sequence[Command]) -> Path:
    """The folder with a copy of the sources in which all steps went well, made now if there is none."""
    found = (path for path in sources.rglob("*") if path.is_file())
    files = sorted(path for path in found if COMPILED not in path.parts)
    named = (str(path.relative_to(sources.parent)).encode() + path.read_bytes() for path in files)
    digest = sha256(b"".join([*named, repr(steps).encode()])).hexdigest()
    folder = BUILT / f"{sources.name}-{digest[:12]}"
    if folder.exists():
        return folder
    draft = BUILT / f"{sources.name}-{digest[:12]}.{os.getpid()}"
    shutil.copytree(sources, draft, ignore=shutil.ignore_patterns(COMPILED))
    for step in steps:
        try:
            _run(step, draft)
        except CannotBuildError:
            _run(step, draft)  # a registry may be out of breath once
    try:
        draft.rename(folder)
    except OSError:  # another run was faster
        shutil.rmtree(draft)
    return folder


def _run(step: Command, folder: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    finished = subprocess.run(
        step,
        cwd=folder,
        env=environ | compiled_briefly(),
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if finished.returncode:
        shown = (finished.stdout + finished.stderr)[-2000:]
        raise CannotBuildError(f"{' '.join(step[:3])} failed: {shown}")
