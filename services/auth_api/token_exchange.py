"""The exchange: an authenticated client presents a code and receives its key, at most once (RFC 6749 §4.1.3)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from services.auth_api import codes
from services.auth_api.client import Client
from services.auth_api.client_access import note_wrong_code
from services.auth_api.codes import StoredCode
from services.auth_api.device_codes import poll
from services.auth_api.idempotency import (
    check_retry,
    derive_key,
    find_first,
    fingerprint_of,
    note_done,
    retry_key_of,
    still_running,
)
from services.auth_api.oauth.authorization_code import (
    MOST_MISMATCHES,
    CodeRecord,
    Redemption,
    WrongClientError,
    check_binding,
    unknown_code,
)
from services.auth_api.oauth.device import check_poll, unknown_device_code
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.token_request import DEVICE_CODE, TokenRequest
from services.auth_api.oauth.token_response import IssuedKey
from services.auth_api.resources import Resources
from services.auth_api.spending import (
    NotSpent,
    Presented,
    Spending,
    refusal_of,
    revoke_replayed,
    spend,
    spend_unread,
)
from shared.api_key import USER_KEY, MintedKey, mint_key
from shared.bus import RemoteFailure
from shared.contracts.keys import IssueKeyReply
from shared.errors import BusUnavailable, StoreUnavailable
from shared.secret_tokens import digest_of

_TRIES: Final = 3
"""How often a code is read again after another attempt at it came between; each needs a release in that moment."""
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
    code_digest: str
    peer: str
    give_up_on: float
    """On the monotonic clock: when the answer must be known."""
    idempotency_key: str | None = None

    @property
    def mismatch_field(self) -> str:
        """Where failed bindings are counted: for a public client per peer, since anybody can speak as one."""
        return f"mismatches:{self.peer}" if self.client.public else "mismatches"

    @property
    def redemption(self) -> Redemption:
        """What the request says of its code."""
        return Redemption(self.client.client_id, self.request.redirect_uri, self.request.verifier)


async def exchange_code(resources: Resources, exchange: Exchange) -> IssuedKey:
    """The key for a code; the code is spent when it returns.

    Raises:
        OAuthError: ``invalid_grant`` for any code that cannot be redeemed by this request; 409 and 422 for an
            ``Idempotency-Key`` in use.
        StoreUnavailable: Redis or key_issuer did not answer in time; the code is being released.
    """
    await resources.releases.settled(exchange.code_digest, 0.5)
    if exchange.idempotency_key is not None:
        return await _exchange_once(resources, exchange, exchange.idempotency_key)
    settings = resources.settings
    minted = mint_key(settings.key_prefix, USER_KEY, settings.public_url)
    return await _redeem_unread(resources, exchange, minted) or await _redeem(resources, exchange, minted)


async def _exchange_once(resources: Resources, exchange: Exchange, header: str) -> IssuedKey:
    settings = resources.settings
    retry_key = retry_key_of(settings, exchange.client.client_id, header)
    fingerprint = fingerprint_of(settings, exchange.client.client_id, exchange.request)
    minted = derive_key(settings, exchange.request.code, header)
    first = await find_first(resources, retry_key)
    if first is None:
        issued = await _redeem(resources, exchange, minted, retry_key, fingerprint)
    else:
        check_retry(first, fingerprint, resources.bus.time.now())
        issued = await _answer_again(resources, exchange, minted, first.attempt)
    with suppress(StoreUnavailable):
        await note_done(resources, retry_key)
    return issued


async def _redeem_unread(resources: Resources, exchange: Exchange, minted: MintedKey) -> IssuedKey | None:
    """The usual exchange, at once; ``None`` where the code has to be looked at."""
    if exchange.request.grant_type == DEVICE_CODE:
        return None
    presented = Presented(
        exchange.code_digest,
        exchange.redemption,
        exchange.mismatch_field,
        minted.key_id,
        minted.digest,
        exchange.give_up_on,
    )
    spent = await spend_unread(resources, presented, exchange.client)
    return None if spent is None else _answer(resources, exchange, spent[0], minted, spent[1])


async def _redeem(
    resources: Resources,
    exchange: Exchange,
    minted: MintedKey,
    retry_key: str | None = None,
    fingerprint: str = "",
) -> IssuedKey:
    for _ in range(_TRIES):
        stored = await _checked_code(resources, exchange)
        spending = Spending(
            code_digest=exchange.code_digest,
            stored=stored,
            client=exchange.client,
            key_id=minted.key_id,
            key_digest=minted.digest,
            give_up_on=exchange.give_up_on,
            retry_key=retry_key,
            fingerprint=fingerprint,
        )
        try:
            reply = await spend(resources, spending)
            return _answer(resources, exchange, stored.record, minted, reply)
        except NotSpent as refused:
            if not await _may_try_again(resources, exchange, refused.outcome):
                raise await _refusal(resources, exchange, stored, refused.outcome) from None
    raise BusUnavailable("contended")


async def _may_try_again(resources: Resources, exchange: Exchange, outcome: codes.RedeemOutcome) -> bool:
    if outcome == "spent" and exchange.request.grant_type != DEVICE_CODE:
        return await codes.is_given_back(resources, exchange.code_digest)
    return outcome == "changed"


async def _checked_code(resources: Resources, exchange: Exchange) -> StoredCode:
    """The code as it is kept, after every check that needs no writing."""
    if exchange.request.grant_type == DEVICE_CODE:
        return await _approved_device(resources, exchange)
    stored = await codes.find(resources, exchange.code_digest, mismatch_field=exchange.mismatch_field)
    if stored is None or stored.record.kind != "code":
        raise await _forgotten(resources, exchange)
    try:
        check_binding(stored.record, exchange.redemption)
    except OAuthError as error:
        if not isinstance(error, WrongClientError):
            await codes.note_mismatch(resources, exchange.code_digest, mismatch_field=exchange.mismatch_field)
        await note_wrong_code(resources, exchange.client.client_id, exchange.peer)
        raise
    if stored.mismatches >= MOST_MISMATCHES:
        if stored.spent:  # a replay costs the key that the code gave, whatever was tried with the code since
            raise await _refusal(resources, exchange, stored, "spent")
        raise unknown_code("the code is dead: too many requests with a wrong redirect_uri or code_verifier")
    return stored


async def _approved_device(resources: Resources, exchange: Exchange) -> StoredCode:
    """A device code that a person has approved (RFC 8628 §3.5)."""
    digest, field = exchange.code_digest, exchange.mismatch_field
    stored = await codes.find(resources, digest, mismatch_field=field)
    if stored is None or stored.record.kind != "device":
        await note_wrong_code(resources, exchange.client.client_id, exchange.peer)
        raise unknown_device_code("no such device code: never given, or expired long ago")
    if stored.record.client_id != exchange.client.client_id:
        await note_wrong_code(resources, exchange.client.client_id, exchange.peer)
        raise unknown_device_code("the device code was issued to another client")
    check_poll(await poll(resources, digest))
    # Read again: the approval has put the person into the record.
    approved = await codes.find(resources, digest, mismatch_field=field)
    return approved or stored


async def _forgotten(resources: Resources, exchange: Exchange) -> OAuthError:
    """The refusal of a code that Redis does not know; if a key came out of it once, that key is dead now."""
    client_id = exchange.client.client_id
    revoked = await revoke_replayed(resources, exchange.code_digest, client_id=client_id, user_id=None)
    await note_wrong_code(resources, client_id, exchange.peer)
    if revoked:
        return unknown_code("the code was used long ago; the key that came out of it is revoked now")
    return unknown_code("no such code: never given, or expired long ago")


async def _refusal(
    resources: Resources, exchange: Exchange, stored: StoredCode, outcome: codes.RedeemOutcome
) -> OAuthError:
    """Why the code was not spent, after a replay has cost the key that the code gave (RFC 6749 §4.1.2)."""
    if outcome == "running":
        return still_running()
    if exchange.request.grant_type == DEVICE_CODE:
        # Polls overlap by accident, and a device code never passes through a browser: nothing is revoked.
        return unknown_device_code("the device code was used already")
    if outcome == "spent":
        record = stored.record
        await revoke_replayed(
            resources, exchange.code_digest, client_id=record.client_id, user_id=record.user_id
        )
        return unknown_code("the code was used already; the key that came out of it is revoked now")
    return unknown_code(_CAUSES.get(outcome, "the code is not kept any more"))


async def _answer_again(
    resources: Resources, exchange: Exchange, minted: MintedKey, attempt: int
) -> IssuedKey:
    """The answer of the first request, also if it never got that far: issuing the same key twice makes one row."""
    stored = await codes.find(resources, exchange.code_digest, mismatch_field=exchange.mismatch_field)
    if stored is None:
        raise unknown_code("the code is not kept any more")
    spending = Spending(
        code_digest=exchange.code_digest,
        stored=stored,
        client=exchange.client,
        key_id=minted.key_id,
        key_digest=minted.digest,
        give_up_on=exchange.give_up_on,
    )
    seconds = exchange.give_up_on - resources.clock.monotonic()
    try:
        reply = await resources.bus.request(spending.to_command(number=attempt), min(2.5, seconds))
    except RemoteFailure as error:
        raise BusUnavailable("failed") from error
    return _answer(resources, exchange, stored.record, minted, reply)


def _answer(
    resources: Resources, exchange: Exchange, record: CodeRecord, minted: MintedKey, reply: IssueKeyReply
) -> IssuedKey:
    refused = refusal_of(reply)
    if refused is not None:
        raise refused
    expires_on = None if reply.key is None else reply.key.expires_on
    return IssuedKey(
        token=minted.token,
        key_id=minted.key_id,
        user_id=record.user_id,
        identifier=record.label or exchange.client.name,
        permissions=record.permissions,
        client_id=record.client_id,
        expires_in=None if expires_on is None else max(0, (expires_on - resources.clock.now()) // 1000),
    )


def new_exchange(
    client: Client, request: TokenRequest, *, peer: str, give_up_on: float, idempotency_key: str | None
) -> Exchange:
    """An exchange for a token request; the code itself goes no further than its digest."""
    return Exchange(client, request, digest_of(request.code), peer, give_up_on, idempotency_key)
