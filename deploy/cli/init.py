"""`latchkey init`: the secrets and the explained `.env` of the compose deployment. Asks nothing, overwrites nothing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click

DEPLOY: Final = Path(__file__).resolve().parent.parent

_FILE_MODE: Final = 0o644
"""A file of its own is mounted into each container and read there by an unprivileged user…"""
_DIRECTORY_MODE: Final = 0o700
"""…while on this machine nobody else gets as far as the files."""


def _password() -> str:
    return secrets.token_hex(24)


def _database(role: str) -> Callable[[], str]:
    return lambda: f"postgresql://{role}:{_password()}@postgres:5432/latchkey"


def _redis(user: str) -> Callable[[], str]:
    return lambda: f"redis://{user}:{_password()}@redis:6379/0"


def _secret() -> str:
    return secrets.token_urlsafe(48)


SECRETS: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        # file in deploy/secrets: how its content is made; compose.yaml says who reads it
        "postgres_password": _password,
        "migrate_database_url": _database("latchkey_migrate"),
        "auth_api_database_url": _database("latchkey_auth_api"),
        "key_issuer_database_url": _database("latchkey_key_issuer"),
        "auth_api_redis_url": _redis("auth_api"),
        "consent_ui_redis_url": _redis("consent_ui"),
        "key_issuer_redis_url": _redis("key_issuer"),
        "operator_redis_url": _redis("operator"),
        "secret": _secret,
        "key_pepper": _secret,
    }
)


@click.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEPLOY,
    show_default="deploy",
    help="Where .env and secrets/ are made: beside compose.yaml.",
)
def init(directory: Path) -> None:
    """Make deploy/secrets/ and deploy/.env for docker-compose; prints each file and whether it was made or kept.

    What is there already is never changed, so it may be run again: after an upgrade it adds what is new.
    """
    folder = directory / "secrets"
    folder.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    for name, make in SECRETS.items():
        _report(folder / name, made=_write_new(folder / name, make() + "\n", _FILE_MODE))
    example = (DEPLOY / "env.example").read_text(encoding="utf-8")
    _report(directory / ".env", made=_write_new(directory / ".env", example, 0o644))
    compose = _shown(directory / "compose.yaml")
    click.echo(f"Next: docker-compose -f {compose} up -d --build", err=True)


def _write_new(path: Path, content: str, mode: int) -> bool:
    """Writes a file unless something is there, also if another start makes it at this moment; whether it did."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), mode)
    return True


def _report(path: Path, *, made: bool) -> None:
    click.echo(f"{'made' if made else 'kept'} {_shown(path)}")


def _shown(path: Path) -> str:
    """A path as the person at the terminal would write it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
