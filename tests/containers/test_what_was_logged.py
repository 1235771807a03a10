"""What the services, the proxy and the stores wrote while all the other tests of this folder ran."""

from __future__ import annotations

import re

import pytest

from tests.containers.deployment import OURS, Deployment

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]


def test_no_service_lacks_a_right(deployment: Deployment) -> None:
    """In all of the above no service was refused anything by Redis or PostgreSQL for want of a right."""
    logs = deployment.compose("logs", "--no-color", *OURS)
    assert not re.search(r"NOPERM|no permissions|permission denied|background_task_died", logs)


def test_no_secret_got_into_a_log(deployment: Deployment) -> None:
    """Neither the services nor the proxy nor the stores wrote a key, a code, a password or a query."""
    logs = deployment.compose("logs", "--no-color")
    assert not re.search(r"lku_[0-9A-Za-z]{6}_[0-9A-Za-z]{16}_[0-9A-Za-z]{43}", logs)
    assert not re.search(r"[?&](code|state|clientID)=", logs)
    assert "correct horse battery" not in logs
    for file in (deployment.folder / "deploy" / "secrets").iterdir():
        secret = file.read_text(encoding="utf-8").strip()
        assert secret not in logs, file.name
