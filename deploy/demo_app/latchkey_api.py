"""What an integrator says to Latchkey over HTTP: exchange a code, use a key, give a key back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout

TIMEOUT: Final = ClientTimeout(total=8)


class LatchkeyUnavailable(Exception):  # noqa: N818 - it says what is the case
    """Latchkey did not answer, or answered that it cannot just now: worth another try."""


class LatchkeyRefused(Exception):  # noqa: N818 - it says what is the case
    """Latchkey refused a request for a reason that another try does not mend."""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """The client as it was registered."""

    client_id: str
    client_secret: str


@dataclass(frozen=True, slots=True)
class LinkedKey:
    """What the exchange gave: a person's key. ``token`` is a secret."""

    token: str
    key_id: str
    user_id: int
    permissions: tuple[str, ...]

    @property
    def masked(self) -> str:
        """How the key may be shown: its kind and the first four characters of its public id."""
        return f"{self.token.partition('_')[0]}_…{self.key_id[:4]}…"


@dataclass(frozen=True, slots=True)
class Status:
    """What ``/api/v1/status`` says of a key."""

    accepted: bool
    description: str
    user_id: int | None
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ``/api/v1/verify`` says of a key: 200, 401 or 403, and whose it is if it is good."""

    status: int
    username: str
    headers: Mapping[str, str]


class LatchkeyApi:
    """The calls of one client. Every one raises ``LatchkeyUnavailable`` where Latchkey cannot answer."""

    def __init__(self, http: ClientSession, api_url: str, credentials: ClientCredentials) -> None:
        """``api_url`` is where Latchkey answers, without a trailing slash."""
        self._http = http
        self._api_url = api_url
        self._credentials = credentials

    async def exchange(self, code: str, redirect_uri: str) -> LinkedKey:
        """Swaps a one-time code for the person's key.

        Raises:
            LatchkeyRefused: the code is spent, expired or not ours.
        """
        body = {
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret,
            "grant_type": "authorization_code",
            "redirect_uri": redirect_uri,
            "code": code,
        }
        status, answer = await self._json("POST", "/api/v1/oauth/token", json=body)
        if status != 200:  # noqa: PLR2004
            raise LatchkeyRefused(str(answer.get("error_description") or answer.get("description") or status))
        document = answer["body"]
        granted = tuple(name for name, allowed in document["permissions"].items() if allowed)
        return LinkedKey(document["token"], answer["keyID"], document["userID"], granted)

    async def status(self, token: str) -> Status:
        """Asks whether a key is good and what it carries."""
        _, answer = await self._json("GET", "/api/v1/status", headers=_bearer(token))
        body = answer.get("body") or {}
        return Status(
            accepted=answer.get("success") is True,
            description=str(answer.get("description", "")),
            user_id=body.get("whoami"),
            permissions=tuple(body.get("permissions", ())),
        )

    async def verify(self, token: str | None, *permissions: str) -> Verdict:
        """Asks, as a resource server does, whether this is a live key with these permissions."""
        query = "?" + urlencode([("permission", name) for name in permissions]) if permissions else ""
        headers = _bearer(token) if token is not None else {}
        async with _Call(
            self._http, "GET", f"{self._api_url}/api/v1/verify{query}", headers=headers
        ) as answer:
            return Verdict(answer.status, answer.headers.get("X-Latchkey-Username", ""), dict(answer.headers))

    async def revoke(self, token: str) -> None:
        """Gives a key back (RFC 7009); fine for a key that is dead already."""
        async with _Call(
            self._http,
            "POST",
            f"{self._api_url}/api/v1/oauth/revoke",
            data={"token": token, **asdict(self._credentials)},
        ) as answer:
            if answer.status != 200:  # noqa: PLR2004
                raise LatchkeyRefused(f"the key could not be given back: {answer.status}")

    async def _json(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        async with _Call(self._http, method, self._api_url + path, **options) as answer:
            body = await answer.json(content_type=None)
            return answer.status, body if isinstance(body, dict) else {}


async def may_introspect(api_url: str, service_key: str) -> bool:
    """Whether Latchkey answers questions about keys to this service key."""
    async with (
        ClientSession() as http,
        _Call(
            http,
            "POST",
            f"{api_url}/api/v1/oauth/introspect",
            headers=_bearer(service_key),
            data={"token": "any"},
        ) as answer,
    ):
        return answer.status == 200  # noqa: PLR2004


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


class _Call:
    """One request; connection trouble, nonsense and 429, 5xx become ``LatchkeyUnavailable``."""

    def __init__(self, http: ClientSession, method: str, url: str, **options: Any) -> None:
        self._request = http.request(method, url, allow_redirects=False, timeout=TIMEOUT, **options)

    async def __aenter__(self) -> ClientResponse:
        try:
            answer = await self._request.__aenter__()
        except (ClientError, TimeoutError, OSError) as error:
            raise LatchkeyUnavailable(f"Latchkey does not answer: {_reason(error)}") from error
        if answer.status >= 500 or answer.status == 429:  # noqa: PLR2004
            answer.release()
            raise LatchkeyUnavailable(f"Latchkey cannot answer just now ({answer.status}).")
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: object
    ) -> None:
        await self._request.__aexit__(kind, error, None)
        if isinstance(error, ClientError | asyncio.TimeoutError | ValueError):
            raise LatchkeyUnavailable("Latchkey's answer could not be read.") from error
