"""The three services behind one port: each answers as it would alone."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.site import Site, bearer
from tests.harness.stack import Stack


async def test_the_flow_goes_through_all_three(site: Site) -> None:
    """Accounts and codes of auth_api, keys of key_issuer, pages of consent_ui, on one address."""
    author, person = await site.sign_up(), await site.sign_up()
    client = await author.create_client()
    granted = await person.give_key(client)
    assert granted["userID"] == person.user_id
    verified = await site.verify(granted["access_token"], "customise_score")
    assert verified.status_code == 200
    assert verified.headers["X-Latchkey-User"] == str(person.user_id)
    assert verified.headers["X-Latchkey-Client"] == client.client_id
    home = await person.http.get("/")
    assert "Epic Games" in home.text


async def test_readiness_names_the_dependencies_of_each(site: Site) -> None:
    """`/readyz` is ready when all are, and says who lacks what."""
    report = await site.http.get("/readyz")
    assert report.status_code == 200
    assert report.json()["dependencies"]["auth_api.postgres"] == "ok"
    assert report.json()["dependencies"]["key_issuer.redis"] == "ok"


async def test_metrics_are_one_exposition(site: Site) -> None:
    """Each family appears once, its samples told apart by the service."""
    await site.http.get("/login")
    await site.http.get("/api/v1/session")
    await site.http.get("/api/v1/verify", headers=bearer("nothing"))
    exposition = (await site.http.get("/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(exposition)}
    lines = exposition.splitlines()
    assert len([line for line in lines if line.startswith("# TYPE latchkey_http_requests_total ")]) == 1
    services = {sample.labels["service"] for sample in families["latchkey_http_requests"].samples}
    assert {"auth_api", "consent_ui", "key_issuer"} <= services


@pytest.mark.spec("RFC 9457", "3", "Errors are application/problem+json")
async def test_errors_keep_the_shape_of_their_service(site: Site) -> None:
    """What nobody knows is a page, a problem or an OAuth error, by where it was asked for."""
    page = await site.http.get("/nothing")
    assert page.headers["Content-Type"].startswith("text/html")
    problem = await site.http.get("/api/v1/nothing")
    assert problem.headers["Content-Type"] == "application/problem+json"
    oauth = await site.http.get("/api/v1/oauth/token")
    assert oauth.status_code == 405
    assert oauth.json()["error"] == "invalid_request"
    assert all(len(answer.headers.get_list("X-Request-ID")) == 1 for answer in (page, problem, oauth))


async def test_a_stack_has_stores_of_its_own(stack: Stack) -> None:
    """The migrated schemas are there for tests to look into."""
    rows = await stack.sql("SELECT count(*) AS steps FROM keys.migrations")
    assert rows[0]["steps"] > 0
