"""FastAPI: ``key: Annotated[Key, Depends(require(guard, "customise_score"))]``."""

from __future__ import annotations

from fastapi import HTTPException
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from latchkey_sdk._guard import Guard
from latchkey_sdk._header import bearer_key
from latchkey_sdk._key import Key
from latchkey_sdk._refused import Refused


class _Require(SecurityBase):
    """A dependency that is a ``Key``, and says in the OpenAPI document that a key is needed."""

    def __init__(self, guard: Guard, permissions: tuple[str, ...]) -> None:
        self.model = HTTPBearer(description="A key made with Latchkey.")
        self.scheme_name = "latchkey"
        self._guard = guard
        self._permissions = permissions

    async def __call__(self, request: HTTPConnection) -> Key:
        try:
            return await self._guard.check(
                bearer_key(request.headers.getlist("authorization")), *self._permissions
            )
        except Refused as refused:
            raise HTTPException(refused.status, str(refused), refused.headers) from None


def require(guard: Guard, *permissions: str) -> _Require:
    """A dependency that gives the route the caller's ``Key``, for ``Depends(…)``.

    It raises ``HTTPException``: 401 without a live key, 403 without one of the permissions, 503 while keys cannot be
    checked, each with the headers that belong to it.
    """
    return _Require(guard, permissions)
