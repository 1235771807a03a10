"""One deployment for all tests of this folder, which leave it working.

What changes the deployment costs most, so the files, which run in the order of their names, and the tests in them stand
so that neighbours want the same of it. Each test says what it wants, and can be run by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.containers.deployment import Deployment, deployed
from tests.harness.site import Site


@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Built and running."""
    with deployed(tmp_path_factory.mktemp("deployment")) as deployment:
        yield deployment


@pytest.fixture
async def deployed_site(deployment: Deployment) -> AsyncIterator[Site]:
    """It, as people and programs see it through the proxy."""
    async with Site.at(deployment.url) as site:
        yield site
