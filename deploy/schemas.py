"""The database schemas: which there are, whose they are, and bringing them up to date."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final

from shared.migrations import migrate
from shared.settings import Settings

_SERVICES: Final = Path(__file__).resolve().parent.parent / "services"


@dataclass(frozen=True, slots=True)
class Schema:
    """One schema, owned by one service."""

    name: str
    service: str

    @property
    def migrations(self) -> Path:
        """The directory of its steps."""
        return _SERVICES / self.service / "db" / "migrations"

    def url(self, settings: Settings) -> str:
        """The database of the service that owns it."""
        url: str = attrgetter(f"{self.service}_database_url")(settings)
        return url


SCHEMAS: Final = (Schema("auth", "auth_api"), Schema("keys", "key_issuer"))


async def migrate_all(settings: Settings) -> AsyncIterator[str]:
    """Applies what is missing, schema by schema; yields `schema/step` for each step applied.

    Raises:
        MigrationError: a step cannot be applied.
        OSError, asyncpg.PostgresError: the server is not there, or refuses.
    """
    for schema in SCHEMAS:
        for step in await migrate(schema.url(settings), schema.name, schema.migrations):
            yield f"{schema.name}/{step}"
