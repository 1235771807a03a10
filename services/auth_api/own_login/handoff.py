"""Login handoff: the site's own login says who somebody is, and the browser that began comes back signed in.

1. ``begin``: the browser is sent to the site's login with a challenge; only that browser holds the secret it is bound to.
2. ``read`` and ``answer``: the site's server, with a service key, asks what the challenge is about and says who it was.
3. ``arrive``: the browser comes back with a secret that only the site's server was told.

Nothing is kept before the site answers. An answered challenge signs nobody in without the browser that began it, and
that browser signs nobody in without the secret of the answer: neither a challenge sent to a victim nor a stranger's sign-in
in a victim's browser leads anywhere. Everything here raises ``StoreUnavailable`` where a store does not answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from services.auth_api.accounts.identities import SITE, Identity, Introduction
from services.auth_api.clients.model import Client
from services.auth_api.own_login.arrival import (
    Arrived,
    Begun,
    NotArrivedError,
    RefusedElsewhereError,
    arrive_again,
    arrive_as,
)
from services.auth_api.own_login.browser import UnderWay, add_under_way, read_under_way
from services.auth_api.own_login.challenge import (
    LIFETIME_SECONDS,
    LoginRequest,
    is_verifier,
    read_challenge,
    sign_challenge,
    verifier_of,
)
from services.auth_api.resources import Resources
from shared.secret_tokens import digest_of, random_base62, same_digest
from shared.web.redirects import append_parameters, waiting_client_id

ARRIVE: Final = "/login/site/callback"
_SECRET_LENGTH: Final = 43
_REFUSED: Final = "error"


async def begin(resources: Resources, target: str, cookie: str, linking: int | None = None) -> Begun | None:
    """A new sign-in that goes on to ``target``; ``None`` where that is too long for the browser to carry.

    ``linking`` is the account to which the login is to be linked, if that is what its person wants.
    """
    settings = resources.settings
    under_way = UnderWay(random_base62(_SECRET_LENGTH), target, linking)
    carried = add_under_way(cookie, under_way)
    if carried is None:
        return None
    client = await _waiting_client(resources, target)
    challenge = sign_challenge(
        settings.secret,
        LoginRequest(
            digest_of(under_way.secret),
            resources.clock.now() + LIFETIME_SECONDS * 1000,
            None if client is None else client.client_id,
        ),
    )
    location = append_parameters(settings.login_url or "", [("login_challenge", challenge)])
    return Begun(location, carried)


async def read(resources: Resources, challenge: str) -> tuple[LoginRequest, Client | None] | None:
    """What a challenge is about and the app that waits; ``None`` where it is unknown, over or used, which look alike."""
    request = _current(resources, challenge)
    if request is None or await _is_used(resources, challenge):
        return None
    client = None if request.client_id is None else await resources.clients.find(request.client_id)
    return request, client


async def answer(resources: Resources, challenge: str, said: dict[str, Any]) -> str | None:
    """Keeps what the site says of a challenge: the address on our origin to send the browser to.

    ``None``: it was answered otherwise before.

    Raises:
        LookupError: the challenge is unknown, over or used.
    """
    request = _current(resources, challenge)
    if request is None or await _is_used(resources, challenge):
        raise LookupError(challenge)
    wanted = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    left = request.expires_on - resources.clock.now()
    known = await resources.bus.redis.execute("SET", _answer_key(challenge), wanted, "NX", "GET", "PX", left)
    if known is not None and known != wanted:
        return None
    settings = resources.settings
    verifier = verifier_of(settings.secret, challenge)
    return append_parameters(
        settings.public_url + ARRIVE, [("login_challenge", challenge), ("login_verifier", verifier)]
    )


async def arrive(
    resources: Resources, *, challenge: str, verifier: str, cookie: str, session_id: str | None
) -> Arrived:
    """Who is to be signed in, in the browser that began; ``session_id`` is what it presents now.

    A second arrival (Back, reload) goes on where the first one did, for the person who is signed in.

    Raises:
        NotArrivedError: it was not begun here, is over, or was used by somebody who is not signed in any more.
        RefusedElsewhereError: the site said no.
        AccountDisabledError: the account may not sign in.
        IdentityTakenError: it was to be linked, and belongs to another account.
    """
    secrets = resources.settings.secrets
    request = read_challenge(secrets, challenge)
    if request is None or not is_verifier(secrets, challenge, verifier):
        raise NotArrivedError("not_ours")
    begun = _begun_here(request, read_under_way(cookie))
    if begun is None:
        raise NotArrivedError("other_browser")
    target = begun.target
    said = await resources.bus.redis.execute("GET", _answer_key(challenge))
    known = {} if said is None else orjson.loads(said)
    if _REFUSED in known:
        raise RefusedElsewhereError(known[_REFUSED], target)
    subject = known.get("externalID")
    if subject is None or await _is_used(resources, challenge):
        return await arrive_again(
            resources,
            "over" if subject is None else "used",
            issuer=SITE,
            subject=subject,
            session_id=session_id,
            target=target,
        )
    introduction = Introduction(known.get("username"), known.get("displayName"), known.get("email"))
    arrived = await arrive_as(resources, Identity(SITE, subject), introduction, begun, session_id)
    left = max(1, request.expires_on - resources.clock.now())
    first = await resources.bus.redis.execute("SET", _used_key(challenge), "", "NX", "PX", left)
    if first is None:  # two arrivals at once: one of them has the session
        raise NotArrivedError("used", target)
    return arrived


def _begun_here(request: LoginRequest, under_way: Sequence[UnderWay]) -> UnderWay | None:
    """What this browser began; ``None`` where another one did."""
    return next((each for each in under_way if same_digest(digest_of(each.secret), request.browser)), None)


def _current(resources: Resources, challenge: str) -> LoginRequest | None:
    request = read_challenge(resources.settings.secrets, challenge)
    return request if request is not None and resources.clock.now() < request.expires_on else None


async def _is_used(resources: Resources, challenge: str) -> bool:
    return bool(await resources.bus.redis.execute("EXISTS", _used_key(challenge)))


async def _waiting_client(resources: Resources, target: str) -> Client | None:
    """The registered app whose request waits behind ``target``."""
    client_id = waiting_client_id(target)
    return None if client_id is None else await resources.clients.find(client_id)


def _answer_key(challenge: str) -> str:
    return f"lk:login:{digest_of(challenge)}"


def _used_key(challenge: str) -> str:
    return f"lk:login-used:{digest_of(challenge)}"
