"""A crowd that loads a running Latchkey while something happens to it, and what every request was answered."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    encode_basic_auth,
)

MOST_KEYS: Final = 10
"""One person and client hold no more: older keys go first."""
PASSWORD: Final = "correct horse battery"
BREATH_SECONDS: Final = 0.2
"""Between two requests of one of a burst: they are to be under way whatever happens, not to take the machine from it."""


@dataclass(slots=True)
class Burst:
    """What came of it: answers by kind and status, and the keys that each person was given, oldest first."""

    answers: Counter[str] = field(default_factory=Counter)
    keys: dict[str, list[str]] = field(default_factory=dict)

    @property
    def failures(self) -> dict[str, int]:
        """Every answer that was not 200, with what it said."""
        return {answer: count for answer, count in self.answers.items() if not answer.endswith(" 200")}

    def failures_of(self, kind: str) -> dict[str, int]:
        """Those of one kind: `consent`, `exchange` or `check`."""
        return {answer: count for answer, count in self.failures.items() if answer.startswith(kind)}

    @property
    def recent_keys(self) -> list[str]:
        """Keys that must be alive: a person's last ones, whatever was lost on the way."""
        return [key for keys in self.keys.values() for key in keys[-MOST_KEYS // 2 :]]


class Crowd:
    """People with accounts and one client, at a site's address."""

    def __init__(self, url: str, http: ClientSession) -> None:
        """Nobody has signed up yet."""
        self.url = url
        self.people: list[Mapping[str, str]] = []
        """The headers of each person's browser."""
        self._http = http
        self._client: Mapping[str, Any] = {}

    async def gather(self, people: int) -> None:
        """Signs people up and registers the first one's client."""
        for _ in range(people):
            self.people.append(await self._sign_up())
        body = {
            "name": "Epic Games",
            "redirectUri": "https://epicgames.example.com/cb",
            "requestedPermissions": ["customise_score"],
        }
        status, self._client = await self.ask("POST", "/api/v1/clients", headers=self.people[0], json=body)
        assert status == 201, self._client

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        """A request; status and JSON."""
        async with self._http.request(method, self.url + path, allow_redirects=False, **how) as answer:
            text = await answer.text()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, await answer.json(content_type=None) if is_json and text else text

    async def consent(self, person: Mapping[str, str]) -> tuple[int, Any]:
        """`create-code` for the client."""
        body = {"clientID": self._client["clientID"]}
        return await self.ask("POST", "/api/v1/oauth/create-code", headers=person, json=body)

    async def exchange(self, code: str) -> tuple[int, Any]:
        """A code for a key."""
        login = encode_basic_auth(self._client["clientID"], self._client["clientSecret"])
        form = {"grant_type": "authorization_code", "code": code}
        return await self.ask("POST", "/api/v1/oauth/token", headers={"Authorization": login}, data=form)

    async def verify(self, key: str) -> tuple[int, Any]:
        """Whether a key is good."""
        headers = {"Authorization": f"Bearer {key}"}
        return await self.ask("GET", "/api/v1/verify?permission=customise_score", headers=headers)

    async def _sign_up(self) -> Mapping[str, str]:
        """Signs somebody up; a site that is only just up may ask for another try."""
        body = {"username": f"person-{secrets.token_hex(6)}", "password": PASSWORD}
        said = ""
        for _ in range(20):
            async with self._http.post(f"{self.url}/api/v1/users", json=body) as answer:
                said = await answer.text()
                if answer.status == 201:
                    cookies = "; ".join(f"{cookie.key}={cookie.value}" for cookie in answer.cookies.values())
                    return {"Cookie": cookies, "Origin": self.url}
                assert answer.status >= 500, said
                await asyncio.sleep(float(answer.headers["Retry-After"]))
        raise AssertionError(f"nobody can sign up: {said}")


@asynccontextmanager
async def crowd_at(url: str, people: int) -> AsyncIterator[Crowd]:
    """People at a site, for many requests at once."""
    connector = TCPConnector(limit=0)
    timeout = ClientTimeout(total=30)
    async with ClientSession(connector=connector, timeout=timeout, cookie_jar=DummyCookieJar()) as http:
        crowd = Crowd(url, http)
        await crowd.gather(people)
        yield crowd


@asynccontextmanager
async def burst(crowd: Crowd, *, each: int = 1, checks: int) -> AsyncIterator[Burst]:
    """As long as the block lasts everybody but the first person exchanges codes, `each` at a time; `checks` check a key."""
    found = Burst()
    stop = asyncio.Event()
    _status, consent = await crowd.consent(crowd.people[0])
    _status, kept = await crowd.exchange(consent["code"])

    async def repeat(work: Callable[[], Awaitable[object]]) -> None:
        while not stop.is_set():
            await work()
            await asyncio.sleep(BREATH_SECONDS)

    works = [partial(_exchange, crowd, person, found) for person in crowd.people[1:] for _ in range(each)]
    check = partial(_noted, found, "check", partial(crowd.verify, kept["access_token"]))
    tasks = [asyncio.create_task(repeat(work)) for work in [*works, *[check] * checks]]
    try:
        yield found
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _exchange(crowd: Crowd, person: Mapping[str, str], found: Burst) -> None:
    """One consent and one exchange."""
    consent = await _noted(found, "consent", partial(crowd.consent, person))
    if consent is None:
        return
    answer = await _noted(found, "exchange", partial(crowd.exchange, consent["code"]))
    if answer is not None:
        found.keys.setdefault(person["Cookie"], []).append(answer["access_token"])


async def _noted(found: Burst, kind: str, ask: Callable[[], Awaitable[tuple[int, Any]]]) -> Any:
    """Notes what a request was answered; the JSON if that was 200."""
    try:
        status, document = await ask()
    except (ClientError, TimeoutError) as error:
        found.answers[f"{kind} {type(error).__name__}"] += 1
        return None
    said = "" if status == 200 else f": {_reason(document)}"
    found.answers[f"{kind} {status}{said}"] += 1
    return document if status == 200 else None


def _reason(document: Any) -> str:
    if not isinstance(document, dict):
        return str(document)[:80]
    return str(document.get("error_description") or document.get("detail") or document.get("title"))
