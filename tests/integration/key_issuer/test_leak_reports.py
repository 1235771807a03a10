"""Reports of many leaked keys at once, as GitHub's secret scanning partner programme signs and sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from services.key_issuer.handlers.report_leak import LARGEST_REPORT, MOST_MATCHES
from services.key_issuer.leak_partner import (
    AFTER_FAILURE_SECONDS,
    AGAIN_SECONDS,
    BELIEVED_SECONDS,
    LARGE_REPORTS,
    LeakPartner,
)
from services.key_issuer.revocation import CHUNK
from shared.api_key import SECRET_LENGTH, assemble_key
from shared.contracts.keys import ChangeKey
from shared.errors import StoreUnavailable
from shared.secret_tokens import digest_of
from tests.harness.leak_partner import IDENTIFIER, SIGNATURE, Partner, match, published
from tests.harness.stores import Servers, fresh_stores
from tests.harness.tls import make_authority
from tests.integration.key_issuer.conftest import URL, Desk, HandClock, mint, open_desk, until

PARTNER: Final = Partner()
STRANGER: Final = Partner()
"""Who signs with a key of the same name, and not with the partner's."""


@pytest.fixture(scope="module")
async def desk(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """The service, which knows the partner's keys from a file."""
    file = tmp_path_factory.mktemp("partner") / "keys.json"
    file.write_bytes(published(Partner("another"), PARTNER))
    async with (
        fresh_stores(servers) as stores,
        open_desk(stores, LEAK_PARTNER_KEYS=str(file)) as desk,
    ):
        yield desk


def label(token: str, word: str, token_type: str = "latchkey_key") -> dict[str, str]:
    """One entry of the answer."""
    return {"token_hash": digest_of(token), "token_type": token_type, "label": word}


async def send(desk: Desk, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    """Status and body."""
    async with desk.http.post(f"{desk.url}/api/v1/keys/report-leak", data=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def report(desk: Desk, entries: object) -> tuple[int, Any]:
    """What a report is answered that the partner has signed."""
    body = json.dumps(entries).encode()
    return await send(desk, body, PARTNER.headers(body))


async def ends(desk: Desk, *key_ids: str) -> set[tuple[str, str | None]]:
    """Status and reason of some keys."""
    rows = await desk.sql("SELECT status, end_reason FROM api_keys WHERE key_id = ANY ($1)", list(key_ids))
    return {(row["status"], row["end_reason"]) for row in rows}


async def test_every_key_of_a_report_dies_before_the_answer(desk: Desk) -> None:
    """A live one, a paused one, one of a service; told by their hashes, as GitHub's feedback has it."""
    live, paused, service = await desk.make(), await desk.make(), await desk.make_service_key()
    await desk.bus.request(ChangeKey(key_id=paused.key_id, user_id=2, status="paused"))
    assert await desk.check(live.token) == 200
    unknown = mint()
    tokens = [live.token, paused.token, service.token, unknown.token]

    status, answer = await report(desk, [match(token) for token in tokens])

    assert await desk.check(live.token) == 401
    words = ["true_positive"] * 3 + ["false_positive"]
    assert (status, answer) == (200, list(map(label, tokens, words)))
    assert await ends(desk, live.key_id, paused.key_id) == {("revoked", "leak_reported")}
    (row,) = await desk.sql("SELECT end_reason FROM service_keys WHERE key_id = $1", service.key_id)
    assert row["end_reason"] == "leak_reported"


async def test_a_report_that_comes_again_is_answered_alike(desk: Desk) -> None:
    """GitHub finds one key in many places, also twice in a report; the key stays dead, of the first reason."""
    key = await desk.make()
    entries = [match(key.token), match(f" {key.token}\n"), match(key.token, "of another rule")]

    first, second = await report(desk, entries), await report(desk, entries)

    assert first == second
    assert [each["label"] for each in first[1]] == ["true_positive"] * 3
    assert first[1][2]["token_type"] == "of another rule"
    lines = await desk.sql("SELECT event FROM audit WHERE key_id = $1 AND event = 'revoked'", key.key_id)
    assert len(lines) == 1


async def test_a_guessed_secret_ends_nothing(desk: Desk) -> None:
    """Beside the id, which is public, the whole key must be known, whoever signs."""
    key = await desk.make()
    forged = assemble_key("lk", "u", URL, key_id=key.key_id, secret="0" * SECRET_LENGTH)

    status, answer = await report(desk, [match(forged.token), match(forged.token)])

    assert (status, {each["label"] for each in answer}) == (200, {"false_positive"})
    assert await desk.check(key.token) == 200


GARBAGE: Final[tuple[object, ...]] = (
    None,
    5,
    10**400,
    "lku_",
    [],
    [[[]]],
    {},
    {"token": None, "type": "t"},
    {"token": 5, "type": "t"},
    {"token": ["lku_"], "type": "t"},
    {"token": "\ud800", "type": "t"},
    {"token": "\0", "type": "\0"},
    {"token": "x", "type": None},
    {"token": "x", "type": "\udfff"},
    {"token": "x", "type": "t" * 201},
    {"token": "x" * 100_000, "type": "t", "url": "\ud800", "source": {}},
    {"type": "t"},
    {"token": "é", "type": "t", "more": [{}]},
)


async def test_one_bad_entry_harms_none(desk: Desk) -> None:
    """Each is taken by itself: the keys between them die; an entry without a type to tell is not told of."""
    keys = [await desk.make(user_id=100 + place) for place in range(len(GARBAGE))]
    typeless = await desk.make()
    entries = [
        each for pair in zip(GARBAGE, (match(key.token) for key in keys), strict=True) for each in pair
    ]

    status, answer = await report(
        desk, [*entries, {"token": typeless.token}, {"token": typeless.token, "type": 1}]
    )

    assert status == 200
    good = [each["token_hash"] for each in answer if each["label"] == "true_positive"]
    assert good == [digest_of(key.token) for key in keys]
    told = {each["token_hash"] for each in answer if each["label"] == "false_positive"}
    assert told == {digest_of("\0"), digest_of("x" * 100_000), digest_of("é")}
    assert await ends(desk, typeless.key_id, *(key.key_id for key in keys)) == {("revoked", "leak_reported")}


async def test_more_keys_than_one_transaction_ends_die_alike(desk: Desk) -> None:
    """In pieces, among as many entries as a report may have."""
    keys = [await desk.make(user_id=1_000 + place) for place in range(CHUNK + 1)]
    filler = [{"token": "x", "type": "t"}] * (MOST_MATCHES - len(keys))

    status, answer = await report(desk, [*filler, *({"token": key.token, "type": "t"} for key in keys)])

    assert (status, len(answer)) == (200, MOST_MATCHES)
    assert [each["label"] for each in answer[-len(keys) :]] == ["true_positive"] * len(keys)
    assert await ends(desk, *(key.key_id for key in keys)) == {("revoked", "leak_reported")}


def _altered(name: str, value: str | None) -> Callable[[bytes, dict[str, str]], dict[str, str]]:
    def alter(_body: bytes, headers: dict[str, str]) -> dict[str, str]:
        changed = {**headers, name: value or ""}
        return changed if value is not None else {key: text for key, text in headers.items() if key != name}

    return alter


@pytest.mark.parametrize(
    ("alter", "expected", "named"),
    [
        (lambda body, _: STRANGER.headers(body), 403, SIGNATURE),
        (lambda body, _: PARTNER.headers(body + b" "), 403, SIGNATURE),
        (lambda body, _: Partner("unknown").headers(body), 403, IDENTIFIER),
        (_altered(IDENTIFIER, "another"), 403, SIGNATURE),
        (_altered(IDENTIFIER, ""), 403, IDENTIFIER),
        (_altered(IDENTIFIER, "x" * 8_000), 403, IDENTIFIER),
        (_altered(IDENTIFIER, None), 400, IDENTIFIER),
        (_altered(SIGNATURE, None), 400, SIGNATURE),
        *(
            (_altered(SIGNATURE, text), 403, SIGNATURE)
            for text in ("", "x", "é", "AAAA", "A" * 96, "A" * 8_000)
        ),
        (_altered("Content-Type", "text/plain"), 415, "Content-Type"),
    ],
)
async def test_a_wrong_signature_ends_nothing(
    desk: Desk, alter: Callable[[bytes, dict[str, str]], dict[str, str]], expected: int, named: str
) -> None:
    """The refusal names the header at fault."""
    key = await desk.make()
    body = json.dumps([match(key.token)]).encode()

    status, answer = await send(desk, body, alter(body, PARTNER.headers(body)))

    assert status == expected
    assert named in answer["detail"]
    assert await desk.check(key.token) == 200


async def test_a_changed_body_ends_nothing(desk: Desk) -> None:
    """The signature is that of the bytes, not of what they mean."""
    key = await desk.make()
    body = json.dumps([match(key.token)]).encode()

    status, answer = await send(desk, body.replace(b": ", b":"), PARTNER.headers(body))

    assert (status, SIGNATURE in answer["detail"]) == (403, True)
    assert await desk.check(key.token) == 200


async def test_headers_that_are_there_twice_are_refused(desk: Desk) -> None:
    """Which of them counts is anybody's guess."""
    body = b"[]"
    headers = [*PARTNER.headers(body).items(), (IDENTIFIER, PARTNER.identifier)]
    async with desk.http.post(f"{desk.url}/api/v1/keys/report-leak", data=body, headers=headers) as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[",
        b"\xff",
        b"null",
        b"[" * 100_000,
        b'{"token": "x"}',
        b"[" + b"0," * MOST_MATCHES + b"0]",
    ],
    ids=lambda body: body[:20],
)
async def test_what_is_no_list_is_refused(desk: Desk, body: bytes) -> None:
    """Though it is signed."""
    assert (await send(desk, body, PARTNER.headers(body)))[0] == 400


async def test_a_report_is_as_long_as_the_proxy_passes_on(desk: Desk) -> None:
    """A longer one is refused unread."""
    body = b"[" + b" " * (LARGEST_REPORT - 2) + b"]"
    assert await send(desk, body, PARTNER.headers(body)) == (200, [])
    assert (await send(desk, body + b" ", PARTNER.headers(body + b" ")))[0] == 413


async def test_without_a_signature_a_list_is_no_report(desk: Desk) -> None:
    """As it always was; an object is taken from anybody."""
    key = await desk.make()
    body = json.dumps([match(key.token)]).encode()
    assert (await send(desk, body, {"Content-Type": "application/json"}))[0] == 400
    assert await desk.check(key.token) == 200


async def test_without_a_partner_no_signature_is_believed(servers: Servers) -> None:
    """The operator has named none."""
    async with fresh_stores(servers) as stores, open_desk(stores) as desk:
        status, answer = await send(desk, b"[]", PARTNER.headers(b"[]"))
    assert (status, IDENTIFIER in answer["detail"]) == (403, True)


class Publisher:
    """Where the partner's keys are read; counts how often."""

    def __init__(self) -> None:
        self.document: bytes | OSError = published(PARTNER)
        self.reads = 0

    async def read(self) -> bytes:
        """What is published now."""
        self.reads += 1
        if isinstance(self.document, OSError):
            raise self.document
        return self.document


def hand_moved() -> tuple[Publisher, HandClock, LeakPartner]:
    """A partner whose keys nobody has read yet."""
    publisher, clock = Publisher(), HandClock()
    return publisher, clock, LeakPartner(publisher.read, clock)


async def test_an_unknown_key_has_the_keys_read_anew_now_and_then() -> None:
    """Strangers who make names up cannot have them read for each."""
    publisher, clock, partner = hand_moved()
    assert await partner.knows(PARTNER.identifier)
    for name in ("a", "b", "new"):
        assert not await partner.knows(name)
    assert publisher.reads == 1

    publisher.document = published(PARTNER, Partner("new"))
    clock.ahead_ms += int(AGAIN_SECONDS * 1000)

    assert await partner.knows("new")
    assert publisher.reads == 2


@pytest.mark.parametrize("document", [OSError("no route"), b"", b"[]", b'{"public_keys": [{}]}'], ids=repr)
async def test_known_keys_stay_good_while_they_cannot_be_read(document: bytes | OSError) -> None:
    """What is unknown is unavailable meanwhile, so that the partner comes again."""
    publisher, clock, partner = hand_moved()
    assert await partner.knows(PARTNER.identifier)
    publisher.document = document
    clock.ahead_ms += int(BELIEVED_SECONDS * 1000)

    assert await partner.knows(PARTNER.identifier)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await partner.knows("new")
    assert publisher.reads == 2

    publisher.document = published(Partner("new"))
    clock.ahead_ms += int(AFTER_FAILURE_SECONDS * 1000)
    assert await partner.knows("new")
    assert not await partner.knows(PARTNER.identifier), "it is published no longer"


@asynccontextmanager
async def publishing(folder: Path, publisher: Publisher, answer: int = 200) -> AsyncIterator[str]:
    """The address at which the keys are published, over TLS."""

    async def read(_request: web.Request) -> web.Response:
        return web.Response(status=answer, body=await publisher.read())

    application = web.Application()
    application.router.add_get("/public_keys", read)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=make_authority(folder).context)
    await site.start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}/public_keys"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("targets", "answer", "expected"), [("on", 200, 200), ("on", 403, 503), ("off", 200, 503)]
)
async def test_the_keys_are_read_from_an_address(
    servers: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    targets: str,
    answer: int,
    expected: int,
) -> None:
    """By the fetcher that reaches nothing inner; once for many reports, as long as no key is unknown."""
    publisher = Publisher()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    async with (
        publishing(tmp_path, publisher, answer) as address,
        fresh_stores(servers) as stores,
        open_desk(stores, LEAK_PARTNER_KEYS=address, PRIVATE_TARGETS=targets) as desk,
    ):
        key = await desk.make()
        reports = [await report(desk, [match(key.token)]) for _ in range(2)]
        assert {status for status, _ in reports} == {expected}
        assert await desk.check(key.token) == (401 if expected == 200 else 200)
    assert publisher.reads == (1 if targets == "on" else 0)


async def test_strangers_long_bodies_take_the_room_of_long_reports_only(desk: Desk) -> None:
    """A signature is known when all is read: so few long ones are held at a time, and a short one is always taken."""
    long, short = b"[" + b" " * 100_000 + b"]", b"[]"
    held = [await _begin(desk, long) for _ in range(LARGE_REPORTS)]

    async def is_full() -> bool:
        return (await send(desk, long, PARTNER.headers(long)))[0] == 503

    await until(is_full)
    assert (await send(desk, short, PARTNER.headers(short)))[0] == 200
    for writer in held:
        writer.close()

    async def is_free() -> bool:
        return not await is_full()

    await until(is_free)


async def _begin(desk: Desk, body: bytes) -> asyncio.StreamWriter:
    """A connection that has sent a report's head, and not its body."""
    _, writer = await asyncio.open_connection("127.0.0.1", int(desk.url.rpartition(":")[2]))
    headers = {**PARTNER.headers(body), "Host": "latchkey.test", "Content-Length": str(len(body))}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    writer.write(f"POST /api/v1/keys/report-leak HTTP/1.1\r\n{''.join(lines)}\r\n[".encode())
    return writer
