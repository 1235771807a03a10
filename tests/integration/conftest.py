"""What several folders of integration tests start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.bus.conftest import Valkey


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A fresh, empty server of the test's own, which it may limit, stop and kill."""
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.kill()
