"""Redeeming a code by one script: only where everything is as expected, and with the command of the contract."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from services.auth_api.codes.store import SLOT, CodeStore, Found, RedeemAttempt, Remembered, code_key
from services.auth_api.oauth.authorization_code import CodeRecord, Redemption
from services.auth_api.oauth.pkce import challenge_of
from services.auth_api.resources import Resources
from shared.contracts.keys import AbandonKey, IssueKey, OrderKey
from shared.contracts.messages import read_fields
from tests.integration.auth_api.conftest import Registry

VERIFIER: Final = "v" * 43
REDIRECT: Final = "https://shop.test/back?a=b%2Fc"
PRESENTED: Final = Redemption("lkc_shop", REDIRECT, VERIFIER)
RECORD: Final = CodeRecord(
    kind="code",
    client_id="lkc_shop",
    user_id=2**40 + 7,
    username="o'br\"ien\\/",
    permissions=("read:/a", "customise_score"),
    consented_on=1_764_000_000_123,
    redirect_uri=REDIRECT,
    redirect_uri_sent=True,
    challenge=challenge_of(VERIFIER),
    label='the "küche" / \\ 😀',
)
FAR: Final = 600_000
FAR_DEADLINE: Final = 2**42


class Code:
    """One code in Redis, and a stream of its own for its commands."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.codes: CodeStore = resources.codes
        self.digest = secrets.token_hex(32)
        self.stream = f"{SLOT}:test:{self.digest}"
        self.failures = f"{SLOT}:throttle:test:{self.digest}"

    async def store(self, record: CodeRecord = RECORD, lifetime_ms: int = FAR) -> None:
        """Keeps it."""
        stored = await self.codes.store(
            self.digest, record, circumstances="c1", begun_on=record.consented_on, lifetime_ms=lifetime_ms
        )
        assert stored == "stored"

    def attempt(self, message: str = "m1", deadline: int = FAR_DEADLINE, **more: Any) -> RedeemAttempt:
        """One try."""
        return RedeemAttempt(self.digest, "k" * 16, message, deadline, **more)

    async def redeem(
        self, presented: Redemption = PRESENTED, attempt: RedeemAttempt | None = None, /, **expected: str
    ) -> Found:
        """Presents it."""
        command = OrderKey(
            key_id="k" * 16,
            digest="d" * 64,
            code_digest="c" * 64,
            identifier="Shop",
            abandoned=tuple(expected.get("abandoned", "").split()),
            origin="code",
            shown=False,
        )
        return await self.codes.redeem(
            attempt or self.attempt(),
            {"state": "", "abandoned": "", "circumstances": "c1", **presented.binding, **expected},
            failures_key=self.failures,
            paid_off_by=1000,
            stream=self.stream,
            fields=["v", "1", "id", "i", "t", "key.issue", "src", "s", "ts", "1", "d", command.to_wire()],
        )

    async def state(self) -> tuple[dict[bytes, bytes], int]:
        """Everything that is kept of it, and how many commands were sent."""
        redis = self.resources.bus.redis
        flat = await redis.execute("HGETALL", code_key(self.digest))
        return dict(zip(flat[::2], flat[1::2], strict=True)), await redis.execute("XLEN", self.stream)

    async def set(self, **fields: str) -> None:
        """Writes fields of the code as they might be after other requests."""
        for name, value in fields.items():
            await self.resources.bus.redis.execute("HSET", code_key(self.digest), name, value)


@pytest.fixture
def code(registry: Registry) -> Code:
    """One that is not stored yet."""
    return Code(registry.resources)


@pytest.mark.parametrize("label", [RECORD.label, None])
async def test_the_command_takes_the_record_along(code: Code, label: str | None) -> None:
    """What key_issuer reads is the command and what the person consented to, whatever the names hold."""
    record = replace(RECORD, label=label)
    await code.store(record)
    found = await code.redeem()
    assert (found.outcome, found.record) == ("spent", record)
    ((_, flat),) = await code.resources.bus.redis.execute("XRANGE", code.stream, "-", "+")
    envelope = read_fields(flat)
    assert IssueKey.from_wire(envelope.body, envelope.attached) == IssueKey(
        key_id="k" * 16,
        digest="d" * 64,
        code_digest="c" * 64,
        user_id=record.user_id,
        username=record.username,
        client_id="lkc_shop",
        identifier="Shop",
        label=label,
        binding=record.binding,
        permissions=record.permissions,
        consented_on=record.consented_on,
        origin="code",
        shown=False,
    )


async def _ended_for_user(code: Code) -> None:
    record = replace(RECORD, user_id=int(code.digest[:8], 16) + 1)
    await code.store(record)
    await code.codes.revoke_before(user_id=record.user_id, client_id=None, before=record.consented_on)


async def _ended_for_grant(code: Code) -> None:
    record = replace(RECORD, user_id=int(code.digest[:8], 16) + 1)
    await code.store(record)
    await code.codes.revoke_before(
        user_id=record.user_id, client_id=record.client_id, before=record.consented_on
    )


async def _spent(code: Code) -> None:
    await code.store()
    assert (await code.redeem()).outcome == "spent"
    await code.resources.bus.redis.execute("DEL", code.stream)


async def _expired(code: Code) -> None:
    await code.store(lifetime_ms=0)


async def _failed_too_often(code: Code) -> None:
    await code.store()
    await code.resources.bus.redis.execute("SET", code.failures, 1001)


async def _replaced(code: Code) -> None:
    await code.store()
    await code.set(state="replaced")


async def _nothing(_code: Code) -> None:
    return None


@pytest.mark.parametrize(
    ("prepare", "outcome"),
    [
        (_nothing, "gone"),
        (_expired, "expired"),
        (_spent, "different"),
        (_replaced, "different"),
        (_failed_too_often, "throttled"),
        (_ended_for_user, "withdrawn"),
        (_ended_for_grant, "withdrawn"),
        (lambda code: code.store(replace(RECORD, kind="device")), "different"),
    ],
    ids=["unknown", "expired", "spent", "replaced", "throttled", "user ended", "grant ended", "of a device"],
)
async def test_a_code_that_is_not_good_is_left_as_it_is(
    code: Code, prepare: Callable[[Code], Awaitable[None]], outcome: str
) -> None:
    """Nothing is changed, and the answer says enough to explain it."""
    await prepare(code)
    before = await code.state()
    found = await code.redeem()
    assert found.outcome == outcome
    assert await code.state() == before
    if outcome == "different":
        assert found.record is not None
        assert found.seen["state"] == before[0][b"state"].decode()


async def test_a_code_of_a_client_that_ended_is_left_as_it_is(code: Code) -> None:
    """The watermark of the client alone is enough."""
    client_id = f"lkc_{code.digest[:16]}"
    await code.store(replace(RECORD, client_id=client_id))
    await code.codes.revoke_before(user_id=None, client_id=client_id, before=RECORD.consented_on)
    before = await code.state()
    assert (await code.redeem(Redemption(client_id, REDIRECT, VERIFIER))).outcome == "withdrawn"
    assert await code.state() == before


@pytest.mark.parametrize(
    ("kept", "presented"),
    [
        ({}, {"client_id": "lkc_other"}),
        ({}, {"redirect_uri": REDIRECT + "/"}),
        ({}, {"redirect_uri": None}),
        ({"redirect_uri": None, "redirect_uri_sent": False}, {}),
        ({}, {"verifier": "w" * 43}),
        ({}, {"verifier": None}),
        ({"challenge": None}, {}),
        ({"challenge": VERIFIER}, {}),
    ],
    ids=repr,
)
async def test_a_code_for_something_else_is_left_as_it_is(
    code: Code, kept: dict[str, Any], presented: dict[str, Any]
) -> None:
    """Client, redirect URI and challenge are each compared, in both directions (RFC 6749 §4.1.3, RFC 7636 §4.6)."""
    await code.store(replace(RECORD, **kept))
    before = await code.state()
    redemption = Redemption(
        **{"client_id": "lkc_shop", "redirect_uri": REDIRECT, "verifier": VERIFIER, **presented}
    )
    assert (await code.redeem(redemption)).outcome == "different"
    assert await code.state() == before


@pytest.mark.parametrize(
    ("kept", "presented"),
    [
        ({"redirect_uri_sent": False}, {}),
        ({"redirect_uri_sent": False}, {"redirect_uri": None}),
        ({"challenge": None}, {"verifier": None}),
    ],
    ids=repr,
)
async def test_what_need_not_be_sent_need_not_be_sent(
    code: Code, kept: dict[str, Any], presented: dict[str, Any]
) -> None:
    """The redirect URI where the authorization request had none, the verifier where there was no challenge."""
    await code.store(replace(RECORD, **kept))
    redemption = Redemption(
        **{"client_id": "lkc_shop", "redirect_uri": REDIRECT, "verifier": VERIFIER, **presented}
    )
    assert (await code.redeem(redemption)).outcome == "spent"


@pytest.mark.parametrize(
    "changed", [{"circumstances": "c2"}, {"abandoned": "x" * 16}, {"mismatches": "1"}], ids=repr
)
async def test_whatever_is_not_expected_is_shown_and_may_be_expected_next(
    code: Code, changed: dict[str, str]
) -> None:
    """Other circumstances, keys given up before, earlier mistakes: who has looked at them names them and goes on."""
    await code.store()
    await code.set(**changed)
    found = await code.redeem(mismatches="") if "mismatches" in changed else await code.redeem()
    assert found.outcome == "different"
    (name,) = changed
    assert found.seen[name] == changed[name]
    assert (await code.redeem(**changed)).outcome == "spent"


async def test_giving_up_frees_the_code_and_abandons_the_key_in_one_step(code: Code) -> None:
    """The next attempt names the abandoned key, and a release that comes twice changes nothing."""
    await code.store()
    assert (await code.redeem()).outcome == "spent"
    assert await code.codes.release(code.attempt())
    ((_, flat),) = await code.resources.bus.redis.execute(
        "XREVRANGE", "lk:{key_issuer:0}:commands", "+", "-", "COUNT", 1
    )
    envelope = read_fields(flat)
    assert envelope.type == AbandonKey.type
    assert AbandonKey.from_wire(envelope.body) == AbandonKey(key_id="k" * 16, code_digest=code.digest)
    assert not await code.codes.release(code.attempt())

    found = await code.redeem(PRESENTED, code.attempt("m2"))
    assert (found.outcome, found.seen["abandoned"]) == ("different", "k" * 16)
    assert (await code.redeem(PRESENTED, code.attempt("m2"), abandoned="k" * 16)).outcome == "spent"
    assert not await code.codes.release(code.attempt("m1"))
    assert (await code.state())[1] == 2


async def test_a_command_that_its_own_giving_up_overtook_spends_nothing(code: Code) -> None:
    """It was delayed on an old connection: fenced off by its message id; another attempt is free to redeem."""
    await code.store()
    assert not await code.codes.release(code.attempt("m1"))
    assert (await code.redeem(PRESENTED, code.attempt("m1"))).outcome == "late"
    assert (await code.redeem(PRESENTED, code.attempt("m2"))).outcome == "spent"


async def test_a_command_past_its_own_deadline_spends_nothing(code: Code) -> None:
    """However long it was on its way: by the clock of Redis."""
    await code.store()
    late = code.attempt(deadline=code.resources.bus.time.now() - 1000)
    assert (await code.redeem(PRESENTED, late)).outcome == "late"
    assert (await code.redeem()).outcome == "spent"


async def test_a_retry_takes_the_place_of_the_attempt_that_spent_the_code(code: Code) -> None:
    """What the first attempt still had to give up, it cannot any more: its key has been answered with."""
    await code.store()
    place = f"{SLOT}:retry:{code.digest}"
    first = code.attempt("m1", remembered=Remembered(place, "f"))
    assert (await code.redeem(PRESENTED, first)).outcome == "spent"
    assert (
        await code.redeem(PRESENTED, code.attempt("m2", remembered=Remembered(place, "f")))
    ).outcome == "running"
    again = code.attempt("m3", remembered=Remembered(place, "f", again=True))
    assert (await code.redeem(PRESENTED, again, state="spent", message="m1")).outcome == "spent"
    assert not await code.codes.release(first)
    other = code.attempt("m4", remembered=Remembered(place, "f", again=True))
    assert (await code.redeem(PRESENTED, other, state="spent", message="m1")).outcome == "different"
