"""The fields of clients, checked without holding up the event loop: key files are parsed, which takes milliseconds."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Final

from services.auth_api.clients.validation import check_client_fields
from shared.contracts.clients import ClientFields
from shared.contracts.field_errors import FieldError
from shared.errors import StoreUnavailable
from shared.fair_executor import FairExecutor, LineFullError

LONGEST_QUEUE: Final = 16
"""Templates that may be checked or wait; at some ten milliseconds each the last one is done well within a deadline."""


class TemplatesBusy(StoreUnavailable):
    """More templates of this author wait to be checked than will be done in time; try again in a moment."""

    def __init__(self) -> None:
        """Answered with 503 and ``Retry-After``."""
        super().__init__("templates", "the queue of templates to check is full")


class FieldChecker:
    """``check_client_fields`` on one thread, for clients with a template.

    At most ``LONGEST_QUEUE`` are taken on, and each author has their turn.
    """

    def __init__(self, *, private_targets: bool) -> None:
        """Starts no thread yet. ``private_targets``: whether webhooks may lead to inner hosts."""
        self._executor = FairExecutor(1, LONGEST_QUEUE, "templates")
        self._check = partial(check_client_fields, private_targets=private_targets)

    async def check(self, author: str, fields: ClientFields, catalogue: Collection[str]) -> list[FieldError]:
        """Everything that is wrong with a registration, as ``check_client_fields`` says it; ``author`` asks for it.

        Raises:
            TemplatesBusy: too many of this author wait.
        """
        if fields.api_key_format is None:
            return self._check(fields, catalogue)
        try:
            return await self._executor.run(author, partial(self._check, fields, catalogue))
        except LineFullError:
            raise TemplatesBusy from None

    def close(self) -> None:
        """Drops what waits and lets a running check end by itself."""
        self._executor.close()
