"""Errors as data: what went wrong with a request, whatever shape reports it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from types import MappingProxyType
from typing import Final

from shared.contracts.field_errors import MOST_NAMED, FieldError

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request was refused. ``code`` is the OAuth error where one fits (RFC 6749 §5.2)."""

    status: int
    detail: str
    code: str = ""
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase


class Problem(Exception):  # noqa: N818 - named as RFC 9457 does
    """Raised by a handler or use case to refuse a request; the edge renders it for the path."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        """``detail`` is public: one sentence that names what the caller can mend; so do the first of ``errors``."""
        super().__init__(detail)
        self.failure = Failure(status, detail, code, tuple(islice(errors, MOST_NAMED)), headers)
