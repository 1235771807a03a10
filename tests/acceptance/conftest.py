"""Latchkey as a person starts it, for the stories of this package."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.embedded.ports import free_port
from tests.harness.backends import new_folder
from tests.harness.processes import RunningServices, running_services, running_up
from tests.harness.stores import Servers, fresh_stores
from tests.harness.workers import WORKERS


@pytest.fixture(scope="session")
def latchkey(run_directory: Path) -> Iterator[str]:
    """`./latchkey up`, fresh, for the whole package; its address."""
    with running_up(new_folder(run_directory)) as url:
        yield url


@pytest.fixture(scope="package")
async def services(servers: Servers, run_directory: Path) -> AsyncIterator[RunningServices]:
    """Each service with two workers, for the files about workers together; each test leaves them working."""
    url, folder = f"http://127.0.0.1:{free_port()}", new_folder(run_directory)
    async with fresh_stores(servers) as stores:
        with running_services(
            folder, public_url=url, workers=WORKERS, stores=stores.environment()
        ) as services:
            yield services
