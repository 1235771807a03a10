"""The image by itself. Built beside other tests, so that a deployment that wants the machine alone finds its layers made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers.deployment import (
    BUILD_SECONDS,
    Deployment,
    copy_repository,
    run,
    skip_without_engine,
)

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Built as compose builds it; its name goes at the end, its layers stay."""
    skip_without_engine()
    deployment = Deployment(copy_repository(tmp_path_factory.mktemp("image")))
    deployment.compose("build", "auth_api", seconds=BUILD_SECONDS)
    yield deployment.project
    run("docker", "image", "rm", "--no-prune", deployment.project)


def test_its_program_is_latchkey(image: str) -> None:
    """What follows the image's name is a command of ours."""
    assert "auth-api" in run("docker", "run", "--rm", "--network", "none", image, "serve", "--help")


def test_it_holds_what_the_services_need_and_no_more(image: str) -> None:
    """Neither tests nor anything of the deployment around it, above all no secret."""
    listed = run("docker", "run", "--rm", "--network", "none", "--entrypoint", "find", image, "/srv/latchkey")
    files = {name.removeprefix("/srv/latchkey/") for name in listed.splitlines()}
    assert {"latchkey", "services/auth_api/app.py", "shared/permissions.toml"} <= files
    unwanted = (
        "tests",
        "docs",
        ".git",
        "deploy/.env",
        "deploy/secrets",
        "deploy/compose.yaml",
        "deploy/demo_app",
    )
    assert files.isdisjoint(unwanted)
