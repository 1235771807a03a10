"""One Latchkey for the programs of this package, and its operator's environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.backends import new_folder
from tests.harness.processes import command, running_up


@dataclass(frozen=True, slots=True)
class Operated:
    """A running Latchkey, and what its operator's command line works with."""

    url: str
    environ: Mapping[str, str]


@pytest.fixture(scope="package")
def operated(run_directory: Path) -> Iterator[Operated]:
    """`./latchkey up`, fresh, for the whole package."""
    folder = new_folder(run_directory)
    with running_up(folder) as url:
        printed = command("env", "--data-dir", str(folder / "data"))
        yield Operated(url, dict(line.split("=", 1) for line in printed.splitlines()))


@pytest.fixture(scope="package")
def latchkey(operated: Operated) -> str:
    """Its address."""
    return operated.url
