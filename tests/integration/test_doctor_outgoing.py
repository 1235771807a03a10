"""What `doctor` says of webhooks that wait, of the proxy on the way out, and of the leak partner's keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.doctor import Finding, Verdict, examine
from deploy.doctor.outgoing import AREA
from deploy.embedded.ports import free_port
from tests.harness.stores import Stores


async def found(stores: Stores, service: str | None = None, **variables: str) -> dict[str, Finding]:
    """The findings of the area by their subjects."""
    given = {f"LATCHKEY_{name}": value for name, value in variables.items()}
    findings = await examine({**stores.environment(), **given}, service)
    return {finding.subject: finding for finding in findings if finding.area == AREA}


@pytest.fixture
async def database(stores: Stores) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to auth_api's schema, whose webhooks are the test's alone."""
    connection = await asyncpg.connect(stores.database_url, server_settings={"search_path": "auth"})
    yield connection
    await connection.execute("DELETE FROM webhook_endpoints; DELETE FROM webhook_deliveries")
    await connection.close()


async def due(
    database: asyncpg.Connection[asyncpg.Record], seconds: float, *, quick: bool, disabled: bool = False
) -> None:
    """A delivery that has been due for so long, at an endpoint that has shown that it is quick, or not."""
    now = time.time_ns() // 1_000_000
    on = now - round(seconds * 1000)
    await database.execute(
        "INSERT INTO webhook_endpoints (client_id, due_on, slow_until, disabled_on) VALUES ($1, $2, $3, $4)",
        f"c{seconds}{quick}{disabled}",
        None if disabled else on,
        0 if quick else None,
        1 if disabled else None,
    )
    if not disabled:
        await database.execute(
            "INSERT INTO webhook_deliveries (webhook_id, client_id, type, body, happened_on, queued_on, due_on)"
            " VALUES ($1, 'c', 'key.revoked', '', $2, $2, $2)",
            f"msg_{seconds}{quick}",
            on,
        )


async def test_webhooks_that_nobody_sends_are_a_problem(
    stores: Stores, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Where endpoints answer a minute is long; those that are slow may wait ten; what waits for a later try is well."""
    assert (await found(stores))["webhooks"].detail == "0 wait"
    await due(database, -300, quick=True)
    await due(database, 300, quick=False)
    await due(database, 0, quick=True, disabled=True)
    finding = (await found(stores))["webhooks"]
    assert (finding.verdict, finding.detail) == (Verdict.OK, "2 wait; 1 addresses are disabled")
    await due(database, 1200, quick=False)
    finding = (await found(stores))["webhooks"]
    assert finding.verdict is Verdict.WARNING
    assert "due for 1,2" in finding.detail
    await due(database, 90, quick=True)
    finding = (await found(stores, "auth-api"))["webhooks"]
    assert finding.verdict is Verdict.PROBLEM
    assert "auth_api" in finding.advice
    assert "webhooks" not in await found(stores, "key-issuer")


async def test_tables_that_are_not_there_yet_are_no_failure(
    stores: Stores, database: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Between the new program and its migration."""
    await database.execute("ALTER TABLE webhook_endpoints RENAME TO later")
    try:
        finding = (await found(stores))["webhooks"]
    finally:
        await database.execute("ALTER TABLE later RENAME TO webhook_endpoints")
    assert finding.verdict is Verdict.UNKNOWN
    assert "migrate" in finding.advice


async def test_a_way_out_that_is_shut_is_a_problem(stores: Stores) -> None:
    """A proxy that nobody reaches is named, without its password; consent_ui calls nobody."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        finding = (await found(stores, OUTGOING_PROXY=f"http://u:hidden@127.0.0.1:{port}"))["proxy"]
        assert finding.verdict is Verdict.OK
    nowhere = f"http://u:hidden@127.0.0.1:{free_port()}"
    for service in (None, "auth-api", "key-issuer"):
        finding = (await found(stores, service, OUTGOING_PROXY=nowhere))["proxy"]
        assert finding.verdict is Verdict.PROBLEM
        assert "hidden" not in str(finding)
    assert await found(stores, "consent-ui", OUTGOING_PROXY=nowhere) == {}


async def test_keys_of_the_leak_partner_are_read_as_key_issuer_reads_them(
    stores: Stores, tmp_path: Path
) -> None:
    """From a file, or from an address, which must answer."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
    file = tmp_path / "keys.json"
    escaped = pem.replace("\n", "\\n")
    file.write_text(f'{{"public_keys": [{{"key_identifier": "a", "key": "{escaped}", "is_current": true}}]}}')
    subject = "leak partner's keys"
    finding = (await found(stores, LEAK_PARTNER_KEYS=str(file)))[subject]
    assert finding.verdict is Verdict.OK
    assert finding.detail.startswith("1 ")
    address = f"https://127.0.0.1:{free_port()}/keys"
    for private in ("on", "off"):
        finding = (await found(stores, "key-issuer", LEAK_PARTNER_KEYS=address, PRIVATE_TARGETS=private))[
            subject
        ]
        assert finding.verdict is Verdict.PROBLEM
        assert address in finding.detail
    assert subject not in await found(stores, "auth-api", LEAK_PARTNER_KEYS=address)
