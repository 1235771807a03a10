"""`doctor` on an OpenID provider: one that is as it should be, and each thing that may be wrong with one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from email.utils import formatdate

import pytest

from deploy.doctor.examination import examine
from deploy.doctor.findings import Finding, Verdict
from deploy.embedded.ports import free_port
from tests.harness.openid import CLIENT_ID, CLIENT_SECRET, Provider, running_provider

SITE = "https://keys.example.com"
REDIRECT_URI = f"{SITE}/login/oidc/callback"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """One that knows us."""
    async with running_provider() as provider:
        provider.redirect_uris = {REDIRECT_URI}
        yield provider


async def found(issuer: str, service: str | None = None, **more: str) -> dict[str, Finding]:
    """What is said of it; nothing else is there to be looked at."""
    environ = {
        "LATCHKEY_PUBLIC_URL": SITE,
        "LATCHKEY_OIDC_ISSUER": issuer,
        "LATCHKEY_OIDC_CLIENT_ID": CLIENT_ID,
        "LATCHKEY_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        **more,
    }
    environ = {name: value for name, value in environ.items() if value}
    findings = await examine(environ, service)
    return {one.subject: one for one in findings if one.area == "openid provider"}


async def test_a_good_provider_is_well(provider: Provider) -> None:
    """Discovery, keys, clock and redirect address; of services only auth_api asks it."""
    findings = await found(provider.issuer)

    assert {name: one.verdict for name, one in findings.items()} == dict.fromkeys(
        ("discovery", "keys", "clock", "redirect address"), Verdict.OK
    )
    assert CLIENT_SECRET not in str(findings)
    assert set(await found(provider.issuer, "auth-api")) == set(findings)
    assert await found(provider.issuer, "key-issuer") == {}


async def test_an_issuer_that_is_spelt_otherwise_is_a_problem(provider: Provider) -> None:
    """A slash at the end is enough; the advice shows where to look."""
    findings = await found(f"{provider.issuer}/")

    assert findings["discovery"].verdict is Verdict.PROBLEM
    assert provider.issuer in findings["discovery"].detail
    assert f"{provider.issuer}/.well-known/openid-configuration" in findings["discovery"].advice
    assert findings["keys"].verdict is Verdict.UNKNOWN


async def test_a_provider_that_is_down_is_a_problem() -> None:
    """Said in seconds; the rest is unknown."""
    findings = await found(f"http://127.0.0.1:{free_port()}")

    assert findings["discovery"].verdict is Verdict.PROBLEM
    assert {findings[name].verdict for name in ("keys", "clock", "redirect address")} == {Verdict.UNKNOWN}


async def test_a_redirect_address_that_is_not_registered_is_a_problem(provider: Provider) -> None:
    """It is named, to be copied."""
    provider.redirect_uris = {f"{REDIRECT_URI}/"}

    finding = (await found(provider.issuer))["redirect address"]

    assert finding.verdict is Verdict.PROBLEM
    assert REDIRECT_URI in finding.detail


@pytest.mark.parametrize("skew", [-300, 300])
async def test_a_clock_that_differs_is_a_problem(provider: Provider, skew: int) -> None:
    """By more than the minute that tokens are given."""
    provider.headers = {"Date": formatdate(time.time() + skew, usegmt=True)}

    finding = (await found(provider.issuer))["clock"]

    assert finding.verdict is Verdict.PROBLEM
    assert "NTP" in finding.advice


async def test_keys_that_cannot_be_believed_are_a_problem(provider: Provider) -> None:
    """None at all, as a provider has that signs with the client secret."""
    provider.keys = []

    assert (await found(provider.issuer))["keys"].verdict is Verdict.PROBLEM


async def test_a_missing_secret_is_a_warning(provider: Provider) -> None:
    """Where the provider wants one."""
    findings = await found(provider.issuer, LATCHKEY_OIDC_CLIENT_SECRET="")

    assert findings["client secret"].verdict is Verdict.WARNING
