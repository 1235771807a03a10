"""Asks another site over HTTP for a JSON object, within bounds of time and size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import orjson

if TYPE_CHECKING:
    import aiohttp

_ONE_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 3.0
_LARGEST_ANSWER: Final = 512 * 1024


class NoAnswer(Exception):  # noqa: N818 - what became of the question
    """The other site does not answer in time, or not as HTTP has it; the message names its host and the trouble."""


class JsonClient:
    """Connections to other sites. ``HTTPS_PROXY`` and ``NO_PROXY`` count, and ``SSL_CERT_FILE`` for a private authority."""

    def __init__(self) -> None:
        """Connects to nothing yet."""
        self._http: aiohttp.ClientSession | None = None

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        """The status of an answer, its JSON object (empty where it holds none) and its headers. Follows no redirect.

        Raises:
            NoAnswer: within 5 seconds there was none.
        """
        import aiohttp  # read only where another site is asked: the command line's processes need none of it

        if self._http is None:
            timeout = aiohttp.ClientTimeout(_ONE_SECONDS, connect=_CONNECT_SECONDS)
            self._http = aiohttp.ClientSession(
                trust_env=True, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._http.request(
                method, url, headers=headers, data=form, allow_redirects=False
            ) as answer:
                body = await answer.content.read(_LARGEST_ANSWER + 1)
                while len(body) <= _LARGEST_ANSWER and not answer.content.at_eof():
                    body += await answer.content.read(_LARGEST_ANSWER + 1 - len(body))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NoAnswer(f"{urlsplit(url).hostname}: {type(error).__name__}") from None
        try:
            document = orjson.loads(body) if len(body) <= _LARGEST_ANSWER else None
        except ValueError:
            document = None
        return answer.status, document if isinstance(document, dict) else {}, answer.headers

    async def close(self) -> None:
        """Ends its connections."""
        if self._http is not None:
            await self._http.close()


def basic_authorization(client_id: str, secret: str) -> str:
    """The ``Authorization`` of a client: both parts are form-encoded before they are joined (RFC 6749 §2.3.1)."""
    import aiohttp

    return aiohttp.encode_basic_auth(quote(client_id, safe=""), quote(secret, safe=""))
