"""The requests of the load, each one an operation with its times and its answer."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final, Self

import aiohttp

from tests.chaos.cluster import PROGRAMS, Cluster
from tests.chaos.history import LOST, Operation, Step, Story
from tests.harness.people import Account, RegisteredClient

CALLBACK: Final = "https://integrator.example/callback"
ISSUERS: Final = ("key-issuer-1", "key-issuer-2")
VERIFIERS: Final = (*ISSUERS, *PROGRAMS)
_TIMEOUT: Final = aiohttp.ClientTimeout(total=8, connect=3)


class Requests:
    """Sends requests to the replicas of a cluster. Use as an async context manager."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        """Which replica is asked comes from ``rng``."""
        self._cluster = cluster
        self._rng = rng

    async def __aenter__(self) -> Self:
        """Opens the connections."""
        connector = aiohttp.TCPConnector(limit=300)
        self._http = aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes them."""
        await self._http.close()

    async def consent(self, account: Account, client: RegisteredClient) -> tuple[Operation, str]:
        """A code."""
        body = {"clientID": client.client_id}
        operation, answer = await self._by_cookie(
            "code", account, "POST", "/api/v1/oauth/create-code", json=body
        )
        return operation, answer.get("code", "")

    async def exchange(self, client: RegisteredClient, code: str, idempotency_key: str) -> Operation:
        """A code for a key."""
        operation, body = await self._send(
            "exchange",
            self._auth_api(),
            "POST",
            "/api/v1/oauth/token",
            data={"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK},
            headers=_basic(client) | ({"Idempotency-Key": idempotency_key} if idempotency_key else {}),
        )
        operation.idempotency_key = idempotency_key
        operation.token = body.get("access_token", "")
        return operation

    async def list_keys(self, account: Account, token: str) -> Operation:
        """Whether a person's list holds a key."""
        operation, body = await self._by_cookie("list", account, "GET", "/api/v1/keys")
        operation.token = token
        operation.listed = isinstance(body, list) and any(each["keyID"] == key_id_of(token) for each in body)
        return operation

    async def create_key(self, account: Account) -> str:
        """A personal key, or nothing where there is none to be had now."""
        body = {"identifier": "rotating", "permissions": ["customise_score"]}
        _, answer = await self._by_cookie("rotate", account, "POST", "/api/v1/keys", json=body)
        token: str = answer.get("token", "")
        return token

    async def rotate(
        self, account: Account, token: str, idempotency_key: str, patience: float | None
    ) -> Operation:
        """A key for a new one; without patience enough the answer is lost."""
        operation, body = await self._by_cookie(
            "rotate",
            account,
            "POST",
            f"/api/v1/keys/{key_id_of(token)}/rotate",
            json={"overlapSeconds": 0},
            headers={"Idempotency-Key": idempotency_key},
            **({} if patience is None else {"timeout": aiohttp.ClientTimeout(total=patience)}),
        )
        operation.idempotency_key = idempotency_key
        operation.token = body.get("token", "")
        return operation

    async def check(self, token: str, verifier: str) -> Operation:
        """Whether a verifier, or a program behind an SDK, accepts a key."""
        path = "/scores" if verifier in PROGRAMS else "/api/v1/verify"
        operation, _ = await self._send(
            "verify", verifier, "GET", path, headers={"Authorization": f"Bearer {token}"}
        )
        operation.token = token
        return operation

    async def check_everywhere(self, story: Story, token: str) -> None:
        """The same at every verifier and program, one after the other, noted in the key's story."""
        for verifier in VERIFIERS:
            story.operations.append(await self.check(token, verifier))

    async def revoke(self, client: RegisteredClient, token: str) -> Operation:
        """The client gives a key back (RFC 7009)."""
        return await self._ending(
            token,
            self._auth_api(),
            "POST",
            "/api/v1/oauth/revoke",
            data={"token": token},
            headers=_basic(client),
        )

    async def delete(self, account: Account, token: str) -> Operation:
        """The person takes a key back."""
        operation, _ = await self._by_cookie("revoke", account, "DELETE", f"/api/v1/keys/{key_id_of(token)}")
        operation.token = token
        return operation

    async def report_leak(self, token: str, issuer: str) -> Operation:
        """Anybody has found a key; this way needs no Redis."""
        return await self._ending(token, issuer, "POST", "/api/v1/keys/report-leak", json={"token": token})

    def _auth_api(self) -> str:
        return f"auth-api-{self._rng.choice((1, 2))}"

    async def _ending(self, token: str, target: str, method: str, path: str, **request: Any) -> Operation:
        operation, _ = await self._send("revoke", target, method, path, **request)
        operation.token = token
        return operation

    async def _by_cookie(
        self, step: Step, account: Account, method: str, path: str, **request: Any
    ) -> tuple[Operation, Any]:
        headers = {"Origin": self._cluster.public_url, **request.pop("headers", {})}
        return await self._send(
            step, self._auth_api(), method, path, headers=headers, cookies=account.cookies, **request
        )

    async def _send(
        self, step: Step, target: str, method: str, path: str, **request: Any
    ) -> tuple[Operation, Any]:
        clock = asyncio.get_running_loop().time
        began, status, error = clock(), LOST, ""
        body: Any = {}
        try:
            async with self._http.request(method, self._cluster.urls[target] + path, **request) as answer:
                text = await answer.read()
                status = answer.status
                if text and answer.content_type.endswith("json"):
                    body = await answer.json(content_type=None)
                    error = "" if isinstance(body, list) else body.get("error") or body.get("detail", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as lost:
            error, status, body = type(lost).__name__, LOST, {}
        return Operation(step, target, began, clock(), status, error), body


def key_id_of(token: str) -> str:
    """The public id in a key."""
    return token.split("_")[2]


def _basic(client: RegisteredClient) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(client.client_id, client.client_secret or "")}
