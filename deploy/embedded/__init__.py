"""Owns the embedded servers: PostgreSQL and Valkey from their wheels, in a data directory, watched and restarted."""

from __future__ import annotations

from deploy.embedded.data_directory import DataDirectory
from deploy.embedded.errors import DataDirectoryInUse, EmbeddedError
from deploy.embedded.servers import EmbeddedServers, is_running
from deploy.embedded.throwaway import throwaway_postgres

__all__ = [
    "DataDirectory",
    "DataDirectoryInUse",
    "EmbeddedError",
    "EmbeddedServers",
    "is_running",
    "throwaway_postgres",
]
