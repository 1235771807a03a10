"""The fields of clients, checked without holding up the event loop: key files are parsed, which takes milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Final

from services.auth_api.clients.validation import check_client_fields
from shared.contracts.clients import ClientFields, FieldError
from shared.errors import StoreUnavailable

LONGEST_QUEUE: Final = 16
"""Templates that may be checked or wait; at some ten milliseconds each the last one is done well within a deadline."""


class TemplatesBusy(StoreUnavailable):
    """More templates wait to be checked than will be done in time; try again in a moment."""

    def __init__(self) -> None:
        """Answered with 503 and ``Retry-After``."""
        super().__init__("templates", "the queue of templates to check is full")


class FieldChecker:
    """``check_client_fields`` on one thread, for clients with a template. At most ``LONGEST_QUEUE`` are taken on."""

    def __init__(self) -> None:
        """Starts no thread yet."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="templates")
        self._places = BoundedSemaphore(LONGEST_QUEUE)

    async def check(self, fields: ClientFields, catalogue: Collection[str]) -> list[FieldError]:
        """Everything that is wrong with a registration, as ``check_client_fields`` says it.

        Raises:
            TemplatesBusy: the queue is full.
        """
        if fields.api_key_format is None:
            return check_client_fields(fields, catalogue)
        if not self._places.acquire(blocking=False):
            raise TemplatesBusy
        job = self._thread.submit(check_client_fields, fields, catalogue)
        # The place is given back when the thread is done, not when a caller gives up.
        job.add_done_callback(lambda _job: self._places.release())
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """Drops what waits and lets a running check end by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)
