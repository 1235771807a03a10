"""Signing in by an OpenID provider: the authorization code flow with PKCE, state and nonce (OpenID Connect Core §3.1).

The browser that begins holds one secret in its cookie; state, nonce and the PKCE verifier are derived from it and from the
server's own secret, so that nothing is kept for a sign-in under way and no other browser can end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from services.auth_api.accounts.identities import Identity, Introduction
from services.auth_api.oauth.pkce import METHOD, challenge_of
from services.auth_api.own_login.arrival import (
    Arrived,
    Begun,
    NotArrivedError,
    RefusedElsewhereError,
    arrive_again,
    arrive_as,
)
from services.auth_api.own_login.browser import UnderWay, add_under_way, read_under_way
from services.auth_api.own_login.challenge import LIFETIME_SECONDS
from services.auth_api.own_login.oidc_provider import (
    TOTAL_SECONDS,
    OidcProvider,
    ProviderRefused,
    ProviderUnavailable,
)
from services.auth_api.own_login.oidc_tokens import Claims, TokenError, check_id_token
from services.auth_api.resources import Resources
from shared.secret_tokens import digest_of, keyed_digest, random_base62, same_digest
from shared.web.redirects import append_parameters

CALLBACK: Final = "/login/oidc/callback"
LONGEST_TEXT: Final = 255
LONGEST_CODE: Final = 4_096
_SECRET_LENGTH: Final = 43
_LONGEST_TIME: Final = 16

_log = structlog.get_logger("latchkey.oidc")


class NotBelievedError(Exception):
    """The provider's answer does not prove who this is; the message, for the log, says what is wrong with it."""

    def __init__(self, cause: str, target: str) -> None:
        """``target`` is where the person wanted to go."""
        super().__init__(cause)
        self.target = target


@dataclass(frozen=True, slots=True)
class _SignIn:
    """What belongs to one sign-in under way."""

    state: str
    nonce: str
    verifier: str
    begun: UnderWay

    @property
    def target(self) -> str:
        """Where the person wanted to go."""
        return self.begun.target


async def begin(
    resources: Resources, provider: OidcProvider, target: str, cookie: str, linking: int | None = None
) -> Begun | None:
    """A new sign-in that goes on to ``target``; ``None`` where that is too long for the browser to carry.

    ``linking`` is the account to which the login is to be linked, if that is what its person wants.

    Raises:
        ProviderUnavailable: the provider says nothing of itself now.
    """
    under_way = UnderWay(random_base62(_SECRET_LENGTH), target, linking)
    carried = add_under_way(cookie, under_way)
    if carried is None:
        return None
    async with _in_time(target):
        metadata = await provider.metadata()
    settings = resources.settings
    expires_on = resources.clock.now() + LIFETIME_SECONDS * 1000
    sign_in = _derived(settings.secret, under_way, str(expires_on))
    location = append_parameters(
        metadata["authorization_endpoint"],
        [
            ("response_type", "code"),
            ("client_id", provider.client_id),
            ("redirect_uri", settings.public_url + CALLBACK),
            ("scope", settings.oidc_scopes),
            ("state", sign_in.state),
            ("nonce", sign_in.nonce),
            ("code_challenge", challenge_of(sign_in.verifier)),
            ("code_challenge_method", METHOD),
        ],
    )
    return Begun(location, carried)


async def arrive(
    resources: Resources,
    provider: OidcProvider,
    query: Mapping[str, str],
    *,
    cookie: str,
    session_id: str | None,
) -> Arrived:
    """Who is to be signed in of those whom the provider sends back; ``session_id`` is what the browser presents now.

    A second arrival goes on for the person who is signed in, and its code is not sent to the provider again.

    Raises:
        NotArrivedError: it was not begun here, is over, was used, or comes from another issuer.
        RefusedElsewhereError: the provider said no.
        NotBelievedError: what it answered proves nothing.
        AccountDisabledError: the account may not sign in.
        IdentityTakenError: it was to be linked, and belongs to another account.
        ProviderUnavailable: it does not answer.
    """
    sign_in = _begun_here(resources.settings.secrets, query.get("state", ""), read_under_way(cookie))
    if sign_in is None:
        raise NotArrivedError("other_browser" if query.get("state") else "not_ours")
    async with _in_time(sign_in.target):
        _check_issuer(await provider.metadata(), provider.issuer, query.get("iss"), sign_in)
        if "error" in query:
            said = query.get("error_description") or query["error"]
            raise RefusedElsewhereError(said[:LONGEST_TEXT], sign_in.target)
        code = query.get("code", "")
        if not 0 < len(code) <= LONGEST_CODE:
            raise NotArrivedError("not_ours", sign_in.target)
        left = int(sign_in.state.partition(".")[0]) - resources.clock.now()
        if left <= 0 or not await _is_first(resources, sign_in, left):
            return await arrive_again(
                resources,
                "used" if left > 0 else "over",
                issuer=provider.issuer,
                subject=None,
                session_id=session_id,
                target=sign_in.target,
            )
        claims = await _proven_claims(resources, provider, code, sign_in)
    return await _arrived(resources, provider.issuer, claims, sign_in.begun, session_id)


async def _arrived(
    resources: Resources, issuer: str, claims: Mapping[str, Any], begun: UnderWay, session_id: str | None
) -> Arrived:
    introduction = Introduction(
        _text(claims.get(resources.settings.oidc_username_claim)),
        _text(claims.get("name")),
        _text(claims.get("email")),
    )
    sid = claims.get("sid")
    return await arrive_as(
        resources,
        Identity(issuer, claims["sub"]),
        introduction,
        begun,
        session_id,
        sid if isinstance(sid, str) else None,
    )


async def _is_first(resources: Resources, sign_in: _SignIn, left_ms: int) -> bool:
    """Whether this sign-in's code was not sent to the provider before."""
    key = f"lk:oidc-used:{digest_of(sign_in.state)}"
    return await resources.bus.redis.execute("SET", key, "", "NX", "PX", left_ms) is not None


async def _proven_claims(
    resources: Resources, provider: OidcProvider, code: str, sign_in: _SignIn
) -> Mapping[str, Any]:
    """Who this is, by the ID token; and where that tells no name, by the UserInfo endpoint."""
    redirect_uri = resources.settings.public_url + CALLBACK
    try:
        response = await provider.redeem(code, sign_in.verifier, redirect_uri)
        claims = await provider.claims_of(response["id_token"])
        check_id_token(
            claims,
            issuer=provider.issuer,
            client_id=provider.client_id,
            nonce=sign_in.nonce,
            now=resources.clock.now() // 1000,
        )
        return await _with_names(resources, provider, claims, response.get("access_token"))
    except (TokenError, ProviderRefused) as error:
        _log.warning("provider_not_believed", issuer=provider.issuer, cause=str(error))
        raise NotBelievedError(str(error), sign_in.target) from None


async def _with_names(
    resources: Resources, provider: OidcProvider, claims: Claims, access_token: object
) -> Mapping[str, Any]:
    names = (resources.settings.oidc_username_claim, "name")
    if not isinstance(access_token, str) or all(_text(claims.get(name)) is not None for name in names):
        return claims
    more = await provider.userinfo(access_token)
    if more and more.get("sub") != claims["sub"]:  # OpenID Connect Core §5.3.2
        raise TokenError("userinfo tells of somebody else")
    return {**more, **claims}


def _check_issuer(metadata: Mapping[str, Any], issuer: str, given: str | None, sign_in: _SignIn) -> None:
    """Whether the answer came from this provider (RFC 9207 §2.4): an attacker's own cannot be mixed up with it."""
    missing = given is None and metadata.get("authorization_response_iss_parameter_supported") is True
    if missing or given not in (None, issuer):
        _log.warning(
            "provider_not_believed", issuer=issuer, cause="iss of the answer is missing or another one"
        )
        raise NotArrivedError("other_issuer", sign_in.target)


def _begun_here(secrets: Sequence[bytes], state: str, under_way: Sequence[UnderWay]) -> _SignIn | None:
    expires_on = state.partition(".")[0]
    if not (expires_on.isascii() and expires_on.isdigit() and len(expires_on) <= _LONGEST_TIME):
        return None
    derived = (_derived(secret, each, expires_on) for each in under_way for secret in secrets)
    return next((sign_in for sign_in in derived if same_digest(sign_in.state, state)), None)


def _derived(secret: bytes, under_way: UnderWay, expires_on: str) -> _SignIn:
    def derive(purpose: str) -> str:
        return keyed_digest(secret, f"oidc {purpose}", under_way.secret, expires_on)

    return _SignIn(f"{expires_on}.{derive('state')}", derive("nonce"), derive("verifier"), under_way)


def _text(value: object) -> str | None:
    """A name that can be shown, cut where it is too long; ``None`` where there is none."""
    if not isinstance(value, str):
        return None
    text = "".join(each for each in value[:LONGEST_TEXT] if each.isprintable()).strip()
    return text or None


@asynccontextmanager
async def _in_time(target: str) -> AsyncIterator[None]:
    """The time that all questions to the provider have together.

    Raises:
        ProviderUnavailable: at its end, or where one was not answered; it knows ``target``.
    """
    try:
        async with asyncio.timeout(TOTAL_SECONDS):
            yield
    except TimeoutError:
        raise ProviderUnavailable("no answer in time", target) from None
    except ProviderUnavailable as error:  # a new one: several people may wait for one answer
        raise ProviderUnavailable(error.reason, target) from None
