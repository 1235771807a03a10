"""A PostgreSQL for a moment: in a temporary directory, on a free port, gone at the end."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.embedded.account import account_for, place_servers, programs_for
from deploy.embedded.data_directory import Memory, new_memory
from deploy.embedded.postgres import Postgres
from deploy.embedded.servers import Supervisor


@asynccontextmanager
async def throwaway_postgres() -> AsyncIterator[Memory]:
    """The addresses of an empty database on a server of its own.

    Raises:
        EmbeddedError: it cannot run; the message says why.
    """
    folder = Path(tempfile.mkdtemp(prefix="latchkey-throwaway-"))
    places = [folder]
    try:
        account = account_for(folder)
        memory = new_memory(place_servers(account, folder))
        places.append(Path(memory.servers))
        server = Postgres(memory, programs_for(account), account)
        supervisor = Supervisor(server)
        await asyncio.to_thread(server.set_up)
        try:
            await supervisor.start()
            await server.provide()
            yield memory
        finally:
            await supervisor.stop()
    finally:
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
