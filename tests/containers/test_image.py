"""The image of the deployment, by itself."""

from __future__ import annotations

import pytest

from tests.containers.deployment import Deployment, run

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]


def test_its_program_is_latchkey(deployment: Deployment) -> None:
    """What follows the image's name is a command of ours."""
    said = run("docker", "run", "--rm", "--network", "none", deployment.project, "serve", "--help")
    assert "auth-api" in said


def test_it_holds_what_the_services_need_and_no_more(deployment: Deployment) -> None:
    """Neither tests nor anything of the deployment around it, above all no secret."""
    find = ("--entrypoint", "find", deployment.project, "/srv/latchkey")
    listed = run("docker", "run", "--rm", "--network", "none", *find)
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
