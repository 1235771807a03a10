"""The database with spans: one for each transaction, one for each named query, by name and never with its values."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from opentelemetry.trace import SpanKind

from shared.database import Database
from shared.spans import Spans

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy


class TracedDatabase(Database):
    """A database whose work shows in the trace of the request, or of each message, that it is done for."""

    def __init__(self, url: str, *, spans: Spans, **options: Any) -> None:
        """``options`` as for ``Database``."""
        super().__init__(url, **options)
        self._spans = spans

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PoolConnectionProxy[asyncpg.Record]]:
        """As ``Database.transaction``; the span reaches from asking for a connection to the commit."""
        with self._span("transaction"):
            async with super().transaction() as connection:
                yield connection

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """As ``Database.fetch``."""
        with self._span(query):
            return await super().fetch(query, *args)

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        """As ``Database.fetchrow``."""
        with self._span(query):
            return await super().fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        """As ``Database.fetchval``."""
        with self._span(query):
            return await super().fetchval(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        """As ``Database.execute``."""
        with self._span(query):
            return await super().execute(query, *args)

    def _span(self, operation: str) -> AbstractContextManager[None]:
        attributes = {
            "db.system.name": "postgresql",
            "db.namespace": self.schema,
            "db.operation.name": operation,
        }
        return self._spans.below_current(f"{operation} {self.schema}", SpanKind.CLIENT, attributes)
