"""What arrives on the bus: which use case handles which message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.key_issuer.changes import change_key
from services.key_issuer.delivery import confirm_deliveries
from services.key_issuer.issuance import Malformed, issue_keys
from services.key_issuer.issuer import Issuer
from services.key_issuer.listing import list_keys, summarize_usage
from services.key_issuer.revocation import revoke_code, revoke_holding, revoke_key, revoke_token
from services.key_issuer.rotation import rotate_key
from shared.bus import Bus, Consumer, Delivery, EventConsumer, Handler, handler
from shared.contracts.base import Done
from shared.contracts.events import HoldingEnded
from shared.contracts.keys import (
    ChangeKey,
    ConfirmDelivery,
    IssueKey,
    IssueKeyReply,
    KeyChanged,
    KeyList,
    KeysRevoked,
    ListKeys,
    RevokeCode,
    RevokeHolding,
    RevokeKey,
    RevokeToken,
    RotateKey,
    SummarizeUsage,
    UsageSummary,
)

QUEUE: Final = "key_issuer"
BATCH: Final = 128


class MalformedCommandError(Exception):
    """A command that no well-behaved sender sends: tried again in vain, it ends among the dead letters."""


def make_consumer(bus: Bus, issuer: Issuer) -> Consumer:
    """The commands to this service."""
    return Consumer(bus, QUEUE, _Commands(issuer).handlers(), batch=BATCH)


def make_event_consumer(bus: Bus, issuer: Issuer) -> EventConsumer:
    """The facts of auth_api that end keys, also where its command was lost in a crash."""

    async def end_holding(event: HoldingEnded, _delivery: Delivery) -> None:
        await revoke_holding(
            issuer,
            RevokeHolding(
                user_id=event.user_id, client_id=event.client_id, before=event.before, reason=event.reason
            ),
        )

    return EventConsumer(bus, HoldingEnded.stream, QUEUE, [handler(HoldingEnded, end_holding)])


class _Commands:
    """Each command and its use case."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    def handlers(self) -> Sequence[Handler]:
        return (
            handler(IssueKey, self.issue, batch=True),
            handler(ConfirmDelivery, self.confirm),
            handler(RevokeKey, self.revoke),
            handler(RevokeToken, self.revoke_token),
            handler(RevokeCode, self.revoke_code),
            handler(RevokeHolding, self.revoke_holding),
            handler(ListKeys, self.list),
            handler(SummarizeUsage, self.summarize),
            handler(ChangeKey, self.change),
            handler(RotateKey, self.rotate),
        )

    async def issue(
        self, commands: Sequence[IssueKey], _deliveries: Sequence[Delivery]
    ) -> list[IssueKeyReply | MalformedCommandError]:
        outcomes = await issue_keys(self._issuer, commands)
        return [
            MalformedCommandError(outcome.reason) if isinstance(outcome, Malformed) else outcome
            for outcome in outcomes
        ]

    async def confirm(self, command: ConfirmDelivery, _delivery: Delivery) -> Done:
        await confirm_deliveries(self._issuer, command.key_ids)
        return Done()

    async def revoke(self, command: RevokeKey, _delivery: Delivery) -> KeysRevoked:
        return await revoke_key(self._issuer, command)

    async def revoke_token(self, command: RevokeToken, _delivery: Delivery) -> KeysRevoked:
        return await revoke_token(self._issuer, command)

    async def revoke_code(self, command: RevokeCode, _delivery: Delivery) -> KeysRevoked:
        return await revoke_code(self._issuer, command)

    async def revoke_holding(self, command: RevokeHolding, _delivery: Delivery) -> KeysRevoked:
        return await revoke_holding(self._issuer, command)

    async def list(self, command: ListKeys, _delivery: Delivery) -> KeyList:
        return await list_keys(self._issuer, command)

    async def summarize(self, command: SummarizeUsage, _delivery: Delivery) -> UsageSummary:
        return await summarize_usage(self._issuer, command)

    async def change(self, command: ChangeKey, _delivery: Delivery) -> KeyChanged:
        return await change_key(self._issuer, command)

    async def rotate(self, command: RotateKey, _delivery: Delivery) -> KeyChanged:
        return await rotate_key(self._issuer, command)
