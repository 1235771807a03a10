"""One deployment for all tests of this folder, which leave it working."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.containers.deployment import Deployment, deployed, skip_without_engine
from tests.harness.site import Site


@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Built and running."""
    skip_without_engine()
    folder: Path = tmp_path_factory.mktemp("deployment")
    with deployed(folder) as deployment:
        yield deployment


@pytest.fixture
async def deployed_site(deployment: Deployment) -> AsyncIterator[Site]:
    """It, as people and programs see it through the proxy."""
    async with Site.at(deployment.url) as site:
        yield site
