"""The exchange: an authenticated client presents a code and receives its key, at most once (RFC 6749 §4.1.3)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from services.auth_api.clients.authentication import limit_key, note_wrong_code
from services.auth_api.clients.model import Client
from services.auth_api.codes.store import Found, Remembered
from services.auth_api.device_flow.device_codes import poll
from services.auth_api.oauth.authorization_code import (
    MOST_MISMATCHES,
    CodeKind,
    CodeRecord,
    Redemption,
    WrongClientError,
    check_binding,
    check_still_allowed,
    circumstances,
    unknown_code,
)
from services.auth_api.oauth.device import check_poll, unknown_device_code
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.token import DEVICE_CODE, TokenRequest, token_response
from services.auth_api.resources import Resources
from services.auth_api.token.idempotency import (
    FirstRequest,
    check_retry,
    find_first,
    fingerprint_of,
    note_done,
    retry_key_of,
    still_running,
)
from services.auth_api.token.redeem import (
    KeyOrder,
    NotRedeemed,
    redeem,
    refusal_of,
)
from services.auth_api.token.revoke import revoke_forgotten, revoke_replayed
from shared.api_key import USER_KEY, MintedKey, derive_key, mint_key
from shared.contracts.keys import IssueKeyReply
from shared.errors import BusUnavailable, StoreUnavailable
from shared.secret_tokens import peer_digest

SETTLE_SECONDS: Final = 0.5
"""How long an exchange waits for its code that this process is just giving back."""
_TRIES: Final = 3
"""How often a code is presented anew after it was found to be good but changed, as by a release in that moment."""
_CAUSES: Final = {
    "expired": "the code has expired",
    "replaced": "the person pressed Accept again; only the newest code counts",
    "withdrawn": "the consent was taken back, or user or client ended, after the code was given",
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One token request of an authenticated client."""

    client: Client
    request: TokenRequest
    peer: str
    give_up_on: float
    """On the monotonic clock: when the answer must be known."""
    idempotency_key: str | None = None

    @property
    def redemption(self) -> Redemption:
        """What the request says of its code."""
        kind: CodeKind = "device" if self.request.grant_type == DEVICE_CODE else "code"
        return Redemption(self.client.client_id, self.request.redirect_uri, self.request.verifier, kind)


async def exchange_code(resources: Resources, exchange: Exchange) -> dict[str, Any]:
    """The response with the key for a code; the code is spent when it returns.

    Raises:
        OAuthError: ``invalid_grant`` for any code that cannot be redeemed by this request; 409 and 422 for an
            ``Idempotency-Key`` in use.
        Throttled: this client and peer have failed too often.
    """
    if exchange.request.code_digest in resources.releaser.running:
        await resources.releaser.settled(exchange.request.code_digest, SETTLE_SECONDS)
    header = exchange.idempotency_key
    if header is None:
        return await _redeem(resources, exchange)
    settings, client_id = resources.settings, exchange.client.client_id
    remembered = Remembered(
        retry_key_of(settings, client_id, header), fingerprint_of(settings, client_id, exchange.request)
    )
    first = await find_first(resources, remembered.key)
    if first is None:
        issued = await _redeem(resources, exchange, remembered)
    else:
        check_retry(first, remembered.fingerprint, resources.bus.time.now())
        issued = await _answer_again(resources, exchange, remembered, first)
    with suppress(StoreUnavailable):
        await note_done(resources, remembered.key)
    return issued


def _mismatch_field(resources: Resources, exchange: Exchange) -> str:
    """Where failed bindings are counted: for a public client per peer, since anybody can speak as one."""
    if not exchange.client.public:
        return "mismatches"
    return f"mismatches:{peer_digest(resources.settings.secret, exchange.peer)}"


def _usual(resources: Resources, exchange: Exchange) -> dict[str, str]:
    """What the fields of a code hold that nobody has presented yet and that this request may redeem."""
    return {
        "state": "",
        "abandoned": "",
        _mismatch_field(resources, exchange): "",
        "circumstances": circumstances(exchange.client.redirect_uris, resources.catalogue),
        **exchange.redemption.binding,
    }


async def _redeem(
    resources: Resources, exchange: Exchange, remembered: Remembered | None = None
) -> dict[str, Any]:
    expected = _usual(resources, exchange)
    for _ in range(_TRIES):
        minted = _mint(resources, exchange, expected["abandoned"])
        try:
            record, reply = await redeem(resources, _order(exchange, minted, remembered), expected)
        except NotRedeemed as refused:
            found = refused.found
            if found.outcome == "running":
                raise still_running() from None
            explain = _explain_device if exchange.request.grant_type == DEVICE_CODE else _explain
            await explain(resources, exchange, found)
            expected |= {name: value for name, value in found.seen.items() if name in expected}
            expected["state"] = ""
        else:
            return _answer(resources, exchange, record, minted, reply)
    raise BusUnavailable("contended")


def _mint(resources: Resources, exchange: Exchange, abandoned: str) -> MintedKey:
    settings = resources.settings
    if exchange.idempotency_key is None:
        return mint_key(settings.key_prefix, USER_KEY, settings.public_url)
    # A key that was given up never lives, so the next one must be another.
    return derive_key(
        settings.secret,
        settings.key_prefix,
        settings.public_url,
        exchange.request.code,
        exchange.idempotency_key,
        abandoned,
    )


def _order(exchange: Exchange, minted: MintedKey, remembered: Remembered | None) -> KeyOrder:
    return KeyOrder(
        code_digest=exchange.request.code_digest,
        kind=exchange.redemption.kind,
        client=exchange.client,
        key_id=minted.key_id,
        key_digest=minted.digest,
        requester=limit_key(exchange.client.client_id, exchange.peer),
        give_up_on=exchange.give_up_on,
        remembered=remembered,
    )


async def _explain(resources: Resources, exchange: Exchange, found: Found) -> None:
    """Returns where nothing is wrong with the code after all: it was given back, or other things about it changed.

    Raises:
        OAuthError: ``invalid_grant``; a replay has cost the key that the code gave (RFC 6749 §4.1.2).
    """
    record = found.record
    if record is None or record.kind != "code":
        raise await _forgotten(resources, exchange)
    try:
        check_binding(record, exchange.redemption)
    except OAuthError as error:
        if not isinstance(error, WrongClientError):
            await resources.codes.note_mismatch(
                exchange.request.code_digest, _mismatch_field(resources, exchange)
            )
        await note_wrong_code(resources, exchange.client.client_id, exchange.peer)
        raise
    state = found.seen["state"]
    if state == "spent" and not await resources.codes.is_given_back(exchange.request.code_digest):
        # A replay costs the key that the code gave, whatever was tried with the code since.
        await revoke_replayed(
            resources, exchange.request.code_digest, client_id=record.client_id, user_id=record.user_id
        )
        raise unknown_code("the code was used already; the key that came out of it is revoked now")
    if int(found.seen[_mismatch_field(resources, exchange)] or 0) >= MOST_MISMATCHES:
        raise unknown_code("the code is dead: too many requests with a wrong redirect_uri or code_verifier")
    if found.outcome != "different" or state not in ("", "spent"):
        raise unknown_code(_CAUSES.get(state or found.outcome, "the code is not kept any more"))
    check_still_allowed(record, exchange.client.redirect_uris, resources.catalogue)


async def _explain_device(resources: Resources, exchange: Exchange, found: Found) -> None:
    """The same for a device code that is polled (RFC 8628 §3.5).

    Polls overlap by accident, and a device code never passes through a browser: a second use revokes nothing.
    """
    record = found.record
    if record is None or record.kind != "device" or record.client_id != exchange.client.client_id:
        await note_wrong_code(resources, exchange.client.client_id, exchange.peer)
        raise unknown_device_code("no such device code of this client: never given, or expired long ago")
    if found.outcome == "withdrawn":
        raise unknown_device_code(_CAUSES["withdrawn"])
    state = await poll(resources, exchange.request.code_digest)
    check_poll(state)
    if state in ("spent", "gone"):
        raise unknown_device_code("the device code was used already")
    check_still_allowed(record, exchange.client.redirect_uris, resources.catalogue)


async def _forgotten(resources: Resources, exchange: Exchange) -> OAuthError:
    """The refusal of a code that Redis does not know; if a key came out of it once, that key is dead now."""
    revoked = await revoke_forgotten(resources, exchange.request.code_digest, exchange.redemption)
    await note_wrong_code(resources, exchange.client.client_id, exchange.peer)
    if revoked:
        return unknown_code("the code was used long ago; the key that came out of it is revoked now")
    return unknown_code("no such code: never given, or expired long ago")


async def _answer_again(
    resources: Resources, exchange: Exchange, remembered: Remembered, first: FirstRequest
) -> dict[str, Any]:
    """The answer of the first request, also if it never got that far: issuing the same key twice makes one row.

    The retry takes the place of the attempt that has spent the code: if that one is still to be given up, it cannot any
    more.
    """
    remembered = Remembered(remembered.key, remembered.fingerprint, again=True)
    expected = {
        **exchange.redemption.binding,
        "state": "spent",
        "message": first.message,
        "abandoned": first.abandoned,
    }
    minted = _mint(resources, exchange, first.abandoned)
    try:
        record, reply = await redeem(resources, _order(exchange, minted, remembered), expected)
    except NotRedeemed as refused:
        state = refused.found.seen.get("state")
        if state == "":  # it was given back in this moment: the next retry redeems it
            raise BusUnavailable("contended") from None
        if state == "spent":  # another retry has just taken the first one's place
            raise still_running() from None
        raise unknown_code("the code is not kept any more") from None
    return _answer(resources, exchange, record, minted, reply)


def _answer(
    resources: Resources, exchange: Exchange, record: CodeRecord, minted: MintedKey, reply: IssueKeyReply
) -> dict[str, Any]:
    refused = refusal_of(reply)
    if refused is not None:
        raise refused
    expires_on = None if reply.key is None else reply.key.expires_on
    seconds = None if expires_on is None else max(0, (expires_on - resources.clock.now()) // 1000)
    return token_response(minted, record, exchange.client.name, seconds)
