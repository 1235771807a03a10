"""Latchkey as a person starts it, for the stories of this package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.backends import new_folder
from tests.harness.processes import running_up


@pytest.fixture(scope="module")
def latchkey(run_directory: Path) -> Iterator[str]:
    """`./latchkey up`, fresh; its address."""
    with running_up(new_folder(run_directory)) as url:
        yield url
