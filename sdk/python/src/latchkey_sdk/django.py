"""Django: ``"latchkey_sdk.django.LatchkeyMiddleware"`` in ``MIDDLEWARE``, and ``LATCHKEY`` in the settings.

``LATCHKEY = {"URL": "https://keys.example.com", "SERVICE_KEY": os.environ["LATCHKEY_SERVICE_KEY"],
"PERMISSIONS": ["customise_score"]}``; ``PERMISSIONS`` may be left out.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from functools import cache, partial
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from latchkey_sdk._guard import CHECK_SECONDS, Guard, digest_of
from latchkey_sdk._header import bearer_key
from latchkey_sdk._key import Key
from latchkey_sdk._refused import Refused, unknown

_PATIENCE_SECONDS: Final = CHECK_SECONDS + 2


class LatchkeyMiddleware:
    """Lets through what carries a live key with the permissions, and puts its ``Key`` into ``request.latchkey``.

    For synchronous and asynchronous Django alike. The guard lives in a thread of its own, which begins with the first
    key that a process is shown, so that servers that fork (gunicorn, uWSGI) have one in each worker.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        """Reads the settings.

        Raises:
            ImproperlyConfigured: something in ``LATCHKEY`` is missing or cannot be right.
        """
        self._get_response = get_response
        given: dict[str, Any] = getattr(settings, "LATCHKEY", {})
        permissions = given.get("PERMISSIONS", ())
        self._permissions = (permissions,) if isinstance(permissions, str) else tuple(permissions)
        try:
            self._guard = _thread_for(given["URL"], given["SERVICE_KEY"])
        except KeyError as missing:
            raise ImproperlyConfigured(f"settings.LATCHKEY has no {missing}") from None
        except ValueError as wrong:
            raise ImproperlyConfigured(f"settings.LATCHKEY: {wrong}") from None
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answers for the site, or passes on to it."""
        if self._is_async:
            return self._later(request)
        try:
            request.latchkey = self._guard.check(bearer_key(_authorization(request)), self._permissions)
        except Refused as refused:
            return _answer(refused)
        response: HttpResponseBase = self._get_response(request)
        return response

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        try:
            key = bearer_key(_authorization(request))
            request.latchkey = await self._guard.check_later(key, self._permissions)
        except Refused as refused:
            return _answer(refused)
        response: HttpResponseBase = await self._get_response(request)
        return response


class _GuardThread:
    """A guard with a loop in a thread of its own, from the first question on."""

    def __init__(self, url: str, service_key: str) -> None:
        self._make = partial(Guard, url, service_key)
        self._inherited: list[object] = []
        self.begin_anew()

    def begin_anew(self) -> None:
        """At first, and in a process that was forked: threads do not survive that, and connections must not be shared."""
        # What was the parent's is kept as it is: nothing of it may be closed from here.
        self._inherited.append(vars(self).copy())
        self._lock = threading.Lock()
        self._guard = self._make()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def check(self, key: str | None, permissions: tuple[str, ...]) -> Key:
        """``Guard.check`` for a thread that may wait."""
        digest = digest_of(key)
        known = self._guard.recall(digest, permissions)
        if known is not None:
            return known
        try:
            return self._ask(digest, key or "", permissions).result(_PATIENCE_SECONDS)
        except (TimeoutError, CancelledError):
            raise unknown() from None

    async def check_later(self, key: str | None, permissions: tuple[str, ...]) -> Key:
        """``Guard.check`` for another event loop."""
        digest = digest_of(key)
        known = self._guard.recall(digest, permissions)
        if known is not None:
            return known
        return await asyncio.wrap_future(self._ask(digest, key or "", permissions))

    def close(self) -> None:
        """Ends the thread; the next question begins another."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._guard, self._loop, self._thread = self._make(), None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE_SECONDS)

    def _ask(self, digest: bytes, key: str, permissions: tuple[str, ...]) -> Future[Key]:
        with self._lock:
            if self._loop is None:
                self._loop, begun = asyncio.new_event_loop(), threading.Event()
                self._thread = threading.Thread(
                    target=_run, args=(self._guard, self._loop, begun), name="latchkey", daemon=True
                )
                self._thread.start()
                begun.wait(_PATIENCE_SECONDS)
            return asyncio.run_coroutine_threadsafe(
                self._guard.check_digest(digest, key, permissions), self._loop
            )


def _run(guard: Guard, loop: asyncio.AbstractEventLoop, begun: threading.Event) -> None:
    """The thread: keeps the guard until the loop is stopped."""
    asyncio.set_event_loop(loop)
    loop.run_until_complete(guard.start())
    begun.set()
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(guard.close())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@cache
def _thread_for(url: str, service_key: str) -> _GuardThread:
    """One for each Latchkey, however many handlers a process makes."""
    thread = _GuardThread(url, service_key)
    atexit.register(thread.close)
    os.register_at_fork(after_in_child=thread.begin_anew)
    return thread


def _authorization(request: HttpRequest) -> list[str]:
    sent: str = request.META.get("HTTP_AUTHORIZATION", "")
    return [sent]


def _answer(refused: Refused) -> HttpResponseBase:
    body = {"title": str(refused), "status": refused.status}
    response: HttpResponseBase = JsonResponse(
        body, status=refused.status, headers=refused.headers, content_type="application/problem+json"
    )
    return response
