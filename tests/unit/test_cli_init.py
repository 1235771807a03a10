"""`latchkey init`: the files of the compose deployment."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Final

from click.testing import CliRunner, Result

from deploy.cli.init import DEPLOY, SECRETS, init
from shared.settings import load_settings

COMPOSE: Final = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")


def _init(folder: Path) -> Result:
    result = CliRunner().invoke(init, ["--directory", str(folder)], catch_exceptions=False)
    assert result.exit_code == 0
    return result


def test_makes_every_secret_that_compose_names(tmp_path: Path) -> None:
    """Compose finds each file that it mounts, and none is made in vain."""
    _init(tmp_path)
    mounted = set(re.findall(r"file: \./secrets/(\w+)", COMPOSE))
    assert mounted == set(SECRETS) == {file.name for file in (tmp_path / "secrets").iterdir()}


def test_containers_can_read_what_nobody_else_on_the_machine_can(tmp_path: Path) -> None:
    """The files are open to the containers' users; the directory is closed to everybody but its owner."""
    _init(tmp_path)
    folder = tmp_path / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}


def test_overwrites_nothing_and_adds_what_is_missing(tmp_path: Path) -> None:
    """A second run keeps what is there, also what the operator changed, and makes what was removed."""
    _init(tmp_path)
    secrets = tmp_path / "secrets"
    (tmp_path / ".env").write_text("LATCHKEY_HTTP_PORT=80\n", encoding="utf-8")
    kept = (secrets / "secret").read_bytes()
    (secrets / "key_pepper").unlink()
    said = _init(tmp_path).stdout
    assert (tmp_path / ".env").read_text(encoding="utf-8") == "LATCHKEY_HTTP_PORT=80\n"
    assert (secrets / "secret").read_bytes() == kept
    assert (secrets / "key_pepper").stat().st_size > 60
    assert said.count("made ") == 1


def test_two_deployments_share_no_secret(tmp_path: Path) -> None:
    """Everything is random."""
    for name in ("one", "two"):
        _init(tmp_path / name)
    for name in SECRETS:
        one, two = (
            (tmp_path / place / "secrets" / name).read_text(encoding="utf-8") for place in ("one", "two")
        )
        assert one != two, name


def test_the_services_accept_what_is_made(tmp_path: Path) -> None:
    """The URLs and secrets are well-formed for the settings."""
    _init(tmp_path)
    folder = tmp_path / "secrets"
    settings = load_settings(
        {
            "LATCHKEY_AUTH_API_DATABASE_URL_FILE": str(folder / "auth_api_database_url"),
            "LATCHKEY_KEY_ISSUER_DATABASE_URL_FILE": str(folder / "key_issuer_database_url"),
            "LATCHKEY_REDIS_URL_FILE": str(folder / "auth_api_redis_url"),
            "LATCHKEY_SECRET_FILE": str(folder / "secret"),
            "LATCHKEY_KEY_PEPPER_FILE": str(folder / "key_pepper"),
        },
        need=frozenset(
            {"auth_api_database_url", "key_issuer_database_url", "redis_url", "secrets", "key_peppers"}
        ),
    )
    assert len(settings.secret) >= 48
    assert list(settings.key_peppers) == [1]


def test_every_variable_of_compose_is_explained() -> None:
    """Whatever compose.yaml reads from the environment stands in .env, with the same default."""
    example = (DEPLOY / "env.example").read_text(encoding="utf-8")
    explained = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", COMPOSE))
    assert set(used) <= set(explained)
    different = {
        name: (default, explained[name])
        for name, default in used.items()
        if default and not default.startswith(":") and default != explained[name]
    }
    assert different == {}
