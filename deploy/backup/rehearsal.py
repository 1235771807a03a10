"""Verifying a backup by restoring it: into a PostgreSQL that is made for that, and gone afterwards."""

from __future__ import annotations

from typing import IO

from deploy.backup.file import Foot
from deploy.backup.restoring import restore
from deploy.embedded import throwaway_postgres
from shared.settings import load_settings


async def rehearse(stream: IO[bytes]) -> Foot:
    """Restores a backup for nobody to use; what it counted. No server of yours is needed, or touched.

    Raises:
        BackupError: the backup is no good.
        EmbeddedError: there are no programs of PostgreSQL's here, as in our container image.
    """
    async with throwaway_postgres() as memory:
        return await restore(load_settings({"LATCHKEY_DATABASE_URL": memory.database_url}), stream)
