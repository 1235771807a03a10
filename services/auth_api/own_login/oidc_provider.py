"""The OpenID provider over HTTP: what it says of itself, its keys, and what it answers for a code.

Its being down stops signing in and nothing else: no service waits for it at its start, and nothing of a failure is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from services.auth_api.own_login import oidc_tokens
from services.auth_api.own_login.oidc_tokens import Claims, Jwk, UnknownKeyError, verify_signature
from shared.clock import Clock
from shared.errors import StoreUnavailable
from shared.settings import Settings
from shared.web.json_client import JsonClient, NoAnswer, basic_authorization

TOTAL_SECONDS: Final = 8.0
"""For all that one arrival asks of the provider."""
_METADATA_SECONDS: Final = 3600.0
_KEYS_SECONDS: Final = 600.0
_KEYS_AGAIN_SECONDS: Final = 5.0
"""A token with an unknown key has them read anew, but never more often than this."""
_MOST_KEYS: Final = 100
_LONGEST_ADDRESS: Final = 2_000
_OK: Final = 200
_REFUSALS: Final = (400, 401, 403)

Metadata = Mapping[str, Any]


class ProviderUnavailable(StoreUnavailable):
    """The provider does not answer, or not as OpenID Connect says."""

    retry_after = 5

    def __init__(self, reason: str, target: str | None = None) -> None:
        """``reason`` is for the log; ``target`` is where the person wanted to go whose sign-in it stopped."""
        super().__init__("provider", reason)
        self.target = target


class ProviderRefused(Exception):  # noqa: N818 - what the provider answers
    """The provider does not take the code; the message is its error, for the log."""


class OidcProvider:
    """The one provider that is configured; its metadata and keys are remembered for a while."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Asks for nothing yet."""
        oidc_tokens.warm_up()
        self.issuer = settings.oidc_issuer or ""
        self.client_id = settings.oidc_client_id or ""
        self._secret = settings.oidc_client_secret
        self._clock = clock
        self._http = JsonClient()
        self._metadata: Metadata | None = None
        self._metadata_until = 0.0
        self._keys: list[Jwk] = []
        self._keys_read_at = float("-inf")
        self._keys_read_anew_at = float("-inf")
        """For a token with a key that was not known."""
        self._asking: dict[str, asyncio.Task[Any]] = {}

    async def metadata(self) -> Metadata:
        """What the provider says of itself (OpenID Connect Discovery §3, §4.3), at most an hour old.

        Raises:
            ProviderUnavailable: it does not answer, or is another issuer than the configured one.
        """
        if self._metadata is None or self._clock.monotonic() >= self._metadata_until:
            await self._once("metadata", self._discover)
        if self._metadata is None:
            raise ProviderUnavailable("discovery failed")
        return self._metadata

    async def claims_of(self, token: str) -> Claims:
        """The claims of a token that the provider has signed. An unknown key has its keys read anew.

        Raises:
            TokenError: it is not to be believed.
            ProviderUnavailable: its keys cannot be read.
        """
        if self._clock.monotonic() >= self._keys_read_at + _KEYS_SECONDS:
            await self._once("keys", self._read_keys)
        try:
            return verify_signature(token, self._keys)
        except UnknownKeyError:
            # Whoever else comes with the provider's new key waits for the reading that is under way.
            if "keys" not in self._asking:
                if self._clock.monotonic() < self._keys_read_anew_at + _KEYS_AGAIN_SECONDS:
                    raise
                self._keys_read_anew_at = self._clock.monotonic()
        await self._once("keys", self._read_keys)
        return verify_signature(token, self._keys)

    async def redeem(self, code: str, verifier: str, redirect_uri: str) -> Mapping[str, Any]:
        """The token response for a code (OpenID Connect Core §3.1.3.3).

        Raises:
            ProviderRefused: it does not take the code.
            ProviderUnavailable: it does not answer, or without an ID token.
        """
        metadata = await self.metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "client_id": self.client_id,
        }
        headers = {"Accept": "application/json"}
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if self._secret is not None and "client_secret_basic" in methods:
            headers["Authorization"] = basic_authorization(self.client_id, self._secret)
        elif self._secret is not None:
            form["client_secret"] = self._secret
        status, document = await self._ask("POST", metadata["token_endpoint"], headers, form)
        if status in _REFUSALS:
            raise ProviderRefused(f"{status} {str(document.get('error'))[:100]}")
        if status != _OK or not isinstance(document.get("id_token"), str):
            raise ProviderUnavailable(f"the token endpoint answered {status} without an id_token")
        return document

    async def userinfo(self, access_token: str) -> Mapping[str, Any]:
        """The claims of the UserInfo endpoint (OpenID Connect Core §5.3); nothing where there is none.

        Raises:
            ProviderUnavailable: it does not answer.
        """
        endpoint = (await self.metadata()).get("userinfo_endpoint")
        if endpoint is None:
            return {}
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        status, document = await self._ask("GET", endpoint, headers)
        if status != _OK:
            raise ProviderUnavailable(f"the userinfo endpoint answered {status}")
        return document

    def forget(self) -> None:
        """Everything is asked again."""
        self._metadata = None
        self._keys, self._keys_read_at, self._keys_read_anew_at = [], float("-inf"), float("-inf")

    async def close(self) -> None:
        """Ends its connections."""
        await self._http.close()

    async def _once(self, what: str, ask: Any) -> None:
        """One question at a time for all that wait for it; a caller that gives up takes it from nobody."""
        task = self._asking.get(what)
        if task is None:
            task = self._asking[what] = asyncio.create_task(ask())
            task.add_done_callback(lambda done: self._asked(what, done))
        await asyncio.shield(task)

    def _asked(self, what: str, task: asyncio.Task[Any]) -> None:
        del self._asking[what]
        if not task.cancelled():
            task.exception()

    async def _discover(self) -> None:
        address = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        status, document = await self._ask("GET", address, {"Accept": "application/json"})
        if status != _OK or document.get("issuer") != self.issuer:
            said = str(document.get("issuer"))[:200]
            raise ProviderUnavailable(f"discovery answered {status} and the issuer {said}")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not _is_address(document.get(name)):
                raise ProviderUnavailable(f"discovery names no usable {name}")
        if "userinfo_endpoint" in document and not _is_address(document["userinfo_endpoint"]):
            raise ProviderUnavailable("discovery names no usable userinfo_endpoint")
        self._metadata = document
        self._metadata_until = self._clock.monotonic() + _METADATA_SECONDS

    async def _read_keys(self) -> None:
        metadata = await self.metadata()
        status, document = await self._ask("GET", metadata["jwks_uri"], {"Accept": "application/json"})
        keys = document.get("keys")
        if status != _OK or not isinstance(keys, list):
            raise ProviderUnavailable(f"the keys were answered {status}")
        self._keys = [key for key in keys[:_MOST_KEYS] if isinstance(key, dict)]
        self._keys_read_at = self._clock.monotonic()

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON object of an answer; an empty object where it holds none. Follows no redirect."""
        try:
            status, document, _ = await self._http.ask(method, url, headers, form)
        except NoAnswer as error:
            raise ProviderUnavailable(str(error)) from None
        return status, document


def _is_address(value: object) -> bool:
    return (
        isinstance(value, str)
        and value.startswith(("https://", "http://"))
        and len(value) <= _LONGEST_ADDRESS
    )
