"""Spending a code without reading it first: only where everything is as it should be, and with the command of the contract."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import orjson
import pytest

from services.auth_api import codes
from services.auth_api.codes import SLOT, Attempt, code_key
from services.auth_api.oauth.authorization_code import MOST_MISMATCHES, CodeRecord, Redemption
from services.auth_api.oauth.pkce import challenge_of
from services.auth_api.resources import Resources
from shared.contracts.keys import IssueKey
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


class Code:
    """One code in Redis, and a stream of its own for its command."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.digest = secrets.token_hex(32)
        self.stream = f"{SLOT}:test:{self.digest}"

    async def store(self, record: CodeRecord = RECORD, lifetime_ms: int = FAR) -> None:
        """Keeps it."""
        stored = await codes.store(
            self.resources, self.digest, record, begun_on=record.consented_on, lifetime_ms=lifetime_ms
        )
        assert stored == "stored"

    async def redeem(self, presented: Redemption = PRESENTED) -> CodeRecord | None:
        """Presents it."""
        return await codes.redeem_unread(
            self.resources,
            presented,
            Attempt(self.digest, 0, "k" * 16, "message", 1_800_000_000_000),
            mismatch_field="mismatches",
            body=(
                b'"key_id":"' + b"k" * 16 + b'","digest":"d","code_digest":"c","client_id":"lkc_shop"',
                b'"Shop"',
            ),
            stream=self.stream,
            fields=["v", "1"],
        )

    async def state(self) -> tuple[Any, int]:
        """Everything that is kept of it, and how many commands were sent."""
        redis = self.resources.bus.redis
        return await redis.execute("HGETALL", code_key(self.digest)), await redis.execute("XLEN", self.stream)


@pytest.fixture
def code(registry: Registry) -> Code:
    """One that is not stored yet."""
    return Code(registry.resources)


@pytest.mark.parametrize("label", [RECORD.label, None])
async def test_the_script_writes_the_command_of_the_contract(code: Code, label: str | None) -> None:
    """Member by member what ``IssueKey`` would have written, whatever the names hold; and the record is the answer."""
    record = replace(RECORD, label=label)
    await code.store(record)
    assert await code.redeem() == record
    ((_, flat),) = await code.resources.bus.redis.execute("XRANGE", code.stream, "-", "+")
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    assert fields[b"v"] == b"1"
    expected = IssueKey(
        key_id="k" * 16,
        digest="d",
        code_digest="c",
        attempt=1,
        user_id=record.user_id,
        username=record.username,
        client_id="lkc_shop",
        identifier=label or "Shop",
        permissions=record.permissions,
        consented_on=record.consented_on,
        origin="code",
        shown=False,
    )
    assert IssueKey.model_validate_json(fields[b"d"]) == expected
    assert orjson.loads(fields[b"d"]).keys() == orjson.loads(expected.to_wire()).keys() - {"expires_on"}


async def test_it_counts_the_attempts_and_can_be_given_back(code: Code) -> None:
    """A code that is released is good for one more attempt, with the next number."""
    await code.store()
    assert await code.redeem()
    assert await code.redeem() is None
    attempt = Attempt(code.digest, 0, "k" * 16, "message", 0)
    assert await codes.release(code.resources.bus, attempt)
    assert await code.redeem()
    entries = await code.resources.bus.redis.execute("XRANGE", code.stream, "-", "+")
    assert [orjson.loads(flat[-1])["attempt"] for _, flat in entries] == [1, 2]


async def _voided(code: Code, **whose: Any) -> None:
    await code.store(replace(RECORD, user_id=code_user(code)))
    whose = {name: code_user(code) if name == "user_id" else value for name, value in whose.items()}
    await codes.void(code.resources, on=RECORD.consented_on, **{"user_id": None, "client_id": None, **whose})


def code_user(code: Code) -> int:
    """A person of this code's own: a mark must not reach the other tests."""
    return int(code.digest[:8], 16) + 1


async def _mistried(code: Code) -> None:
    await code.store()
    for _ in range(MOST_MISMATCHES):
        await codes.note_mismatch(code.resources, code.digest, mismatch_field="mismatches")


async def _spent(code: Code) -> None:
    await code.store()
    assert await code.redeem()
    await code.resources.bus.redis.execute("DEL", code.stream)


async def _expired(code: Code) -> None:
    await code.store(lifetime_ms=0)


async def _nothing(_code: Code) -> None:
    return None


@pytest.mark.parametrize(
    "prepare",
    [
        _nothing,
        _expired,
        _spent,
        _mistried,
        lambda code: _voided(code, user_id=True),
        lambda code: _voided(code, user_id=True, client_id="lkc_shop"),
        lambda code: code.store(replace(RECORD, kind="device")),
    ],
    ids=["unknown", "expired", "spent", "mistried", "user ended", "grant ended", "of a device"],
)
async def test_a_code_that_is_not_good_is_left_as_it_is(
    code: Code, prepare: Callable[[Code], Awaitable[None]]
) -> None:
    """Why it is not is told by whoever reads it."""
    await prepare(code)
    before = await code.state()
    assert await code.redeem() is None
    assert await code.state() == before


async def test_a_code_of_a_client_that_ended_is_left_as_it_is(code: Code) -> None:
    """The mark of the client alone is enough."""
    client_id = f"lkc_{code.digest[:16]}"
    await code.store(replace(RECORD, client_id=client_id))
    await codes.void(code.resources, on=RECORD.consented_on, user_id=None, client_id=client_id)
    before = await code.state()
    assert await code.redeem(Redemption(client_id, REDIRECT, VERIFIER)) is None
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
    assert await code.redeem(redemption) is None
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
    assert await code.redeem(redemption) is not None
