"""Asks Latchkey about one key: ``POST /api/v1/oauth/introspect`` (RFC 7662)."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ServerTimeoutError,
)

from latchkey_sdk._clock import Clock
from latchkey_sdk._key import Key
from latchkey_sdk._refused import unknown
from latchkey_sdk._service import Complaints, Service
from latchkey_sdk._stream import retry_after_of

AT_ONCE: Final = 32
"""Questions under way at the same time; the others wait."""
_LONGEST_ANSWER: Final = 65_536
_LONGEST_PAUSE: Final = 30
_OK: Final = 200


class BadAnswerError(Exception):
    """An answer that no Latchkey gives."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Latchkey said of a key."""

    key: Key | None
    """``None``: it is not live."""
    asked_at: float
    """When the question was sent, by the guard's clock."""
    seconds: float
    """How long the key is good from then on, by its own expiry; infinite without one."""


class Introspection:
    """Questions to one Latchkey, over connections that are kept."""

    def __init__(self, service: Service, http: ClientSession, clock: Clock, resource: str | None) -> None:
        """``resource``: keys that are bound to another one are not live here."""
        self._url = f"{service.url}/api/v1/oauth/introspect"
        self._http = http
        self._clock = clock
        self._resource = resource
        self._complaints = Complaints()
        self._places = asyncio.Semaphore(AT_ONCE)

    async def ask(self, token: str) -> Answer:
        """What Latchkey says of this key, which has the form of one.

        Raises:
            Refused: 503, it cannot be known; what an operator can mend is in the log, once.
        """
        async with self._places:
            try:
                try:
                    return await self._ask_once(token)
                except (ClientConnectorError, ServerTimeoutError):
                    raise
                except ClientConnectionError:
                    # A connection that was kept too long; asking again is harmless.
                    return await self._ask_once(token)
            except (ClientError, TimeoutError, OSError) as error:
                self._complaints.tell(
                    f"Latchkey does not answer at {self._url}: {type(error).__name__}", level=logging.WARNING
                )
            except BadAnswerError as error:
                self._complaints.tell(f"What answers at {self._url} is not Latchkey: {error}")
        raise unknown() from None

    async def _ask_once(self, token: str) -> Answer:
        asked_at, asked_on = self._clock(), time.time()
        async with self._http.post(self._url, data={"token": token}, allow_redirects=False) as answer:
            if answer.status != _OK:
                raise self._trouble(answer)
            facts = await _facts(answer)
            if facts.get("active") is False:
                self._complaints.settle()
                return Answer(None, asked_at, 0.0)
            key = _key_of(facts)
            if key.key_id != token.split("_")[2]:
                raise BadAnswerError("it speaks of another key")
            self._complaints.settle()
            if not self._is_for_us(facts.get("aud")):
                return Answer(None, asked_at, 0.0)
            return Answer(key, asked_at, _seconds_left(facts.get("exp"), asked_on, answer))

    def _trouble(self, answer: ClientResponse) -> Exception:
        """What an answer other than 200 means; all of it is 503 to the caller."""
        status = answer.status
        if status in (401, 403):
            self._complaints.tell(
                f"Latchkey refuses this application's service key (HTTP {status} at {self._url}): it must be live and"
                " have the permission introspect. Until then every request is answered 503."
            )
            return unknown(_LONGEST_PAUSE)
        if status in (429, 500, 502, 503, 504):
            self._complaints.tell(f"Latchkey answers {status} at {self._url}", level=logging.WARNING)
            return unknown(min(retry_after_of(answer) or 1, _LONGEST_PAUSE))
        return BadAnswerError(f"HTTP {status}")

    def _is_for_us(self, audience: object) -> bool:
        """Whether a key may be used here: one that is bound to a resource only there, and there no other (RFC 8707)."""
        if audience is None:
            return self._resource is None
        named = audience if isinstance(audience, list) else [audience]
        return self._resource is not None and any(
            isinstance(each, str) and _plain(each) == _plain(self._resource) for each in named
        )


async def _facts(answer: ClientResponse) -> dict[str, Any]:
    body = b""
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _LONGEST_ANSWER:
            raise BadAnswerError("a long answer")
    try:
        facts = json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswerError("no JSON") from None
    if not isinstance(facts, dict):
        raise BadAnswerError("no JSON object")
    return facts


def _key_of(facts: dict[str, Any]) -> Key:
    key_id, user_id, username, scope = (facts.get(name) for name in ("key_id", "sub", "username", "scope"))
    external_user, client_id = facts.get("external_user"), facts.get("client_id")
    texts = (key_id, user_id, username, scope)
    if facts.get("active") is not True or not all(isinstance(each, str) for each in texts):
        raise BadAnswerError("a member of the answer is missing")
    if not all(each is None or isinstance(each, str) for each in (external_user, client_id)):
        raise BadAnswerError("a member of the answer is no text")
    try:
        number = int(str(user_id))
    except ValueError:
        raise BadAnswerError("the person has no number") from None
    return Key(str(key_id), number, str(username), external_user, client_id, frozenset(str(scope).split()))


def _seconds_left(expiry: object, asked_on: float, answer: ClientResponse) -> float:
    """From the question to the key's own end; by the clock, ours or Latchkey's, that says sooner."""
    if expiry is None:
        return float("inf")
    if not isinstance(expiry, int):
        raise BadAnswerError("the expiry is no number")
    seconds = expiry - asked_on
    with suppress(KeyError, ValueError, TypeError):
        # The header is cut to seconds: it may be later than it says.
        seconds = min(seconds, expiry - parsedate_to_datetime(answer.headers["Date"]).timestamp() - 1)
    return max(0.0, seconds)


def _plain(resource: str) -> str:
    """An address with scheme and host in small letters and without one slash at the end."""
    parts = urlsplit(resource)
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower()).geturl().removesuffix("/")
