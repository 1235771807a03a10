"""Traces of the services as they are deployed, at a collector that speaks OTLP over HTTP."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.backends import new_folder
from tests.harness.collector import Collector, SeenSpan, collecting
from tests.harness.processes import REPOSITORY, RunningServices, running_services
from tests.harness.routing import routed_site
from tests.harness.site import Client, Site, bearer
from tests.harness.stores import Servers, fresh_stores

TOKEN = "POST /api/v1/oauth/token"


@pytest.fixture(scope="module")
async def collector() -> AsyncIterator[Collector]:
    """One for the module."""
    async with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
async def traced(
    servers: Servers, collector: Collector, run_directory: Path
) -> AsyncIterator[RunningServices]:
    """The three services, each a process, told of the collector as an operator tells them."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    folder = new_folder(run_directory)
    async with fresh_stores(servers) as stores:
        with running_services(folder, environ=environ, stores=stores.environment()) as services:
            yield services


@pytest.fixture(scope="module")
async def traced_site(traced: RunningServices) -> AsyncIterator[Site]:
    """They as people and programs see them."""
    async with routed_site(traced.public_url, traced.urls) as site:
        yield site


def caused_by(spans: list[SeenSpan], name: str) -> list[str]:
    """A span's name and those of its causes, back to the first that is here."""
    span = next(span for span in spans if span.name == name)
    by_id = {each.span_id: each for each in spans}
    line = [span.name]
    while span.parent_id in by_id:
        span = by_id[span.parent_id]
        line.append(span.name)
    return line


def new_traceparent() -> tuple[str, dict[str, str]]:
    """A trace that a caller has begun: its id, and the header that carries it."""
    trace_id = secrets.token_hex(16)
    return trace_id, {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}


async def exchange(site: Site, client: Client, code: str, headers: dict[str, str]) -> dict[str, Any]:
    """A code for a key, inside of a caller's trace."""
    form = {"grant_type": "authorization_code", "code": code}
    answer = await site.http.post("/api/v1/oauth/token", data=form, auth=client.basic, headers=headers)
    assert answer.status_code == 200, answer.text
    token: dict[str, Any] = answer.json()
    return token


async def test_one_trace_from_the_token_request_to_the_issuers_transaction(
    collector: Collector, traced_site: Site
) -> None:
    """It is the caller's own, goes through the stream, and is whole: each span has its cause in it."""
    person = await traced_site.sign_up()
    client = await person.create_client()
    code = await person.create_code(client)
    trace_id, headers = new_traceparent()
    await exchange(traced_site, client, code, headers)
    spans = await collector.until(
        trace_id, TOKEN, "send key.issue", "process key.issue", "issue_unknown_keys keys"
    )
    assert caused_by(spans, "issue_unknown_keys keys") == [
        "issue_unknown_keys keys",
        "process key.issue",
        "send key.issue",
        TOKEN,
    ]
    shape = {span.name: (span.service, span.kind) for span in spans}
    assert shape[TOKEN] == ("latchkey-auth-api", "server")
    assert shape["send key.issue"] == ("latchkey-auth-api", "producer")
    assert shape["process key.issue"] == ("latchkey-key-issuer", "consumer")
    assert shape["issue_unknown_keys keys"] == ("latchkey-key-issuer", "client")
    first = next(span for span in spans if span.name == TOKEN)
    assert first.parent_id == headers["traceparent"].split("-")[2]
    assert first.attributes["http.response.status_code"] == "200"
    assert not any(span.failed for span in spans)
    assert all(first.began <= span.began <= span.ended for span in spans)


async def test_each_message_of_a_batch_is_in_the_trace_of_its_own_request(
    collector: Collector, traced_site: Site
) -> None:
    """What is done for many at once shows in the trace of each."""
    client = await (await traced_site.sign_up()).create_client()
    people = [await traced_site.sign_up() for _ in range(6)]
    codes = [await each.create_code(client) for each in people]
    traces = [new_traceparent() for _ in codes]
    await asyncio.gather(
        *(
            exchange(traced_site, client, code, headers)
            for code, (_, headers) in zip(codes, traces, strict=True)
        )
    )
    for trace_id, _ in traces:
        spans = await collector.until(trace_id, TOKEN, "issue_unknown_keys keys")
        assert caused_by(spans, "issue_unknown_keys keys")[-1] == TOKEN
        assert [span.name for span in spans].count("process key.issue") == 1


async def test_the_consent_page_and_auth_api_share_a_trace(collector: Collector, traced_site: Site) -> None:
    """The pages ask over the bus, too."""
    person = await traced_site.sign_up()
    client = await person.create_client()
    trace_id, headers = new_traceparent()
    page = await person.http.get(
        "/oauth/request-auth", params={"clientID": client.client_id}, headers=headers
    )
    assert page.status_code == 200
    spans = await collector.until(
        trace_id, "GET /oauth/request-auth", "send authorization.prepare", "process authorization.prepare"
    )
    assert caused_by(spans, "process authorization.prepare")[-1] == "GET /oauth/request-auth"


async def test_log_lines_name_the_request_and_its_trace(
    collector: Collector, traced: RunningServices, traced_site: Site
) -> None:
    """From a line in the log to the trace, and back: the span knows the request's id."""
    trace_id, headers = new_traceparent()
    answer = await traced_site.http.get("/api/v1/session", headers=headers)
    request_id = answer.headers["X-Request-ID"]
    spans = await collector.until(trace_id, "GET /api/v1/session")
    assert spans[0].attributes["latchkey.request_id"] == request_id
    lines = [
        json.loads(line)
        for line in traced.processes["auth-api"].output().splitlines()
        if request_id in line and line.startswith("{")
    ]
    assert [line["trace_id"] for line in lines] == [trace_id] * len(lines)
    assert lines


async def test_nothing_secret_reaches_the_collector(collector: Collector, traced_site: Site) -> None:
    """Passwords, codes, keys, secrets, cookies, state and what was wrong in a refused request stay where they are."""
    mark = f"mark{secrets.token_hex(8)}"
    password = f"{mark}password"
    person = await traced_site.sign_up(password=password)
    client = await person.create_client(description=f"{mark}description")
    code = await person.create_code(client, state=f"{mark}state", context=f"{mark}context")
    trace_id, headers = new_traceparent()
    token = await exchange(traced_site, client, code, {**headers, "User-Agent": f"{mark}agent"})
    key = token["access_token"]
    await traced_site.http.get(f"/api/v1/verify?permission={mark}", headers=bearer(key))
    await traced_site.http.get(f"/api/v1/{mark}path?{mark}query={mark}", headers={"Cookie": f"{mark}=1"})
    await person.http.get(f"/oauth/request-auth?clientID={client.client_id}&state={mark}state")
    await traced_site.exchange(client, f"{mark}wrongcode")
    await traced_site.http.post("/api/v1/keys/report-leak", json={"token": f"{mark}token"})
    last, headers = new_traceparent()
    await traced_site.http.request(f"{mark.upper()}", f"/api/v1/status?echo={mark}", headers=headers)
    await person.http.delete(f"/api/v1/keys/{token['keyID']}", headers=headers)
    await collector.until(trace_id, "issue_unknown_keys keys")
    await collector.until(last, "DELETE /api/v1/keys/{keyID}", "transaction keys")
    cookies = [cookie.value for cookie in person.http.cookies.jar if cookie.value]
    secrets_known = [
        mark,
        mark.upper(),
        key,
        code,
        client.secret,
        client.client_id,
        person.username,
        *cookies,
    ]
    seen = b"\n".join(collector.raw)
    assert [each for each in secrets_known if each and each.encode() in seen] == []
    assert b"process key.issue" in seen


async def test_probes_and_background_work_leave_no_spans(
    collector: Collector, traced: RunningServices, traced_site: Site
) -> None:
    """A trace begins with somebody's request."""
    trace_id, headers = new_traceparent()
    async with httpx.AsyncClient(base_url=traced.urls["auth-api"], headers=headers) as probe:
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await probe.get(path)).status_code == 200
    await traced_site.http.get("/api/v1/session", headers=headers)
    spans = await collector.until(trace_id, "GET /api/v1/session")
    assert [span.name for span in spans] == ["GET /api/v1/session"]
    roots = {span.kind for span in collector.spans if not span.parent_id}
    assert roots <= {"server"}


@pytest.mark.parametrize("service", ["auth_api", "consent_ui", "key_issuer"])
def test_without_a_collector_opentelemetry_is_not_even_imported(service: str) -> None:
    """Who does not trace pays nothing for it."""
    code = (
        "import sys; from shared.settings import load_settings; from services.SERVICE.app import create_app;"
        "create_app(load_settings());"
        "sys.exit(', '.join({'opentelemetry', 'google.protobuf', 'requests', 'shared.telemetry.spans'} & set(sys.modules)) or None)"
    ).replace("SERVICE", service)
    environ = {
        "LATCHKEY_DATABASE_URL": "postgresql://a:b@127.0.0.1/c",
        "LATCHKEY_REDIS_URL": "redis://127.0.0.1",
        "LATCHKEY_SECRET": "s" * 40,
        "LATCHKEY_KEY_PEPPER": "p" * 40,
    }
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
