"""What a process loads: a library that it has no use for costs every start and every command of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.harness.processes import REPOSITORY

LEFT_OUT = [
    # modules that are loaded, and libraries that they do without
    (["deploy.cli.backends"], ["aiohttp", "jinja2", "prometheus_client", "pydantic"]),
    (
        [f"deploy.cli.{name}" for name in ("users", "clients", "keys", "bus", "doctor", "migrate")],
        ["aiohttp", "cryptography", "jinja2", "opentelemetry", "yaml"],
    ),
    (["deploy.cli.serve", "deploy.workers.worker"], ["aiohttp", "asyncpg", "jinja2", "prometheus_client"]),
    (["shared.web.guarded_fetcher"], ["aiohttp", "asyncpg", "jinja2", "prometheus_client"]),
    (["services.auth_api.app", "services.key_issuer.app"], ["jinja2", "opentelemetry", "yaml"]),
    (["services.consent_ui.app"], ["argon2", "asyncpg", "opentelemetry", "yaml"]),
]


@pytest.mark.parametrize(("modules", "libraries"), LEFT_OUT, ids=lambda names: names[0])
def test_a_process_loads_no_library_that_it_has_no_use_for(modules: list[str], libraries: list[str]) -> None:
    """Commands on stores load no server, who starts workers loads no service, the pages load no database's driver."""
    code = f"import sys, {', '.join(modules)}; print(*(sys.modules.keys() & {set(libraries)!r}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
