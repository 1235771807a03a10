"""What several folders of integration tests start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.harness.outside import Outside, outside_world
from tests.integration.bus.conftest import Valkey


@pytest.fixture
async def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outside]:
    """A world outside of the test's own, whose authority is trusted."""
    async with outside_world(tmp_path) as world:
        monkeypatch.setenv("SSL_CERT_FILE", str(world.authority.file))
        yield world


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A fresh, empty server of the test's own, which it may limit, stop and kill."""
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.kill()
