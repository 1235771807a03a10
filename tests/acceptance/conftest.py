"""Latchkey as a person starts it, for the stories of this package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.backends import new_folder
from tests.harness.processes import running_up


@pytest.fixture(scope="session")
def latchkey(run_directory: Path) -> Iterator[str]:
    """`./latchkey up`, fresh, for the whole package; its address."""
    with running_up(new_folder(run_directory)) as url:
        yield url
