"""What a newcomer has to read: the files of ours that one warm request passes through, of all services together."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import pytest

from tests.harness.journeys import Journey, journey_of
from tests.harness.processes import REPOSITORY
from tests.harness.site import Person
from tests.harness.stack import Stack, running_stack
from tests.harness.stores import Servers
from tests.integration.consent_ui.visits import form_with, open_consent
from tests.integration.oauth.conftest import Provider

TIMES: Final = 10
MANY: Final = 40
"""Of what takes no time: the more there are, the less likely something else falls into each of them."""


def misdescribed(heading: str, journey: Journey) -> list[str]:
    """Where docs/architecture.md is wrong under a heading: files it does not name, and of its table those not passed."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^##+ {heading}[^\n]*\n(.*?)^##", page, re.MULTILINE | re.DOTALL)
    files = {file.removeprefix("services/auth_api/") for file in (*journey.services, *journey.shared)}
    rows = "".join(line for line in section.splitlines() if line.startswith("|"))
    in_table = {name.removeprefix("services/auth_api/") for name in re.findall(r"`([\w/]+\.py)`", rows)}
    afterwards = {file for file in journey.afterwards if f"{file}`" not in section}
    unnamed = {file for file in files if f"{file}`" not in section}
    return sorted(unnamed | afterwards | (in_table - files))


@pytest.fixture(scope="module")
async def stack(servers: Servers) -> AsyncIterator[Stack]:
    """All three services: the pages take part."""
    async with running_stack(servers, {"THROTTLE": "off"}) as stack:
        yield stack


async def test_a_warm_redeem_passes_through_few_files(provider: Provider, person: Person) -> None:
    """From the request to the answer, auth_api and key_issuer together."""
    client = await person.create_client()
    codes = [await person.create_code(client) for _ in range(TIMES)]

    journey = await journey_of(200, [partial(provider.site.exchange, client, code) for code in codes])

    journey.check(services=15, shared=12)
    assert misdescribed("The path of one exchange", journey) == []


async def test_a_warm_accept_passes_through_few_files(stack: Stack) -> None:
    """From the press on the consent page to the redirect with the code, consent_ui and auth_api together."""
    person = await stack.site.sign_up()
    client = await person.create_client()
    forms = [form_with(await open_consent(person, client), "Accept") for _ in range(TIMES)]

    journey = await journey_of(
        303, [partial(person.http.post, action, data=fields) for action, fields in forms]
    )

    journey.check(services=19, shared=14)
    assert misdescribed("The path of an Accept", journey) == []


async def test_a_warm_revoke_passes_through_few_files(provider: Provider, person: Person) -> None:
    """From the request of the key's owner to the answer, auth_api and key_issuer together; then the others hear of it."""
    keys = [await person.create_key(f"key {number}", ["customise_score"]) for number in range(TIMES)]

    journey = await journey_of(
        204, [partial(person.http.delete, f"/api/v1/keys/{key['keyID']}") for key in keys]
    )

    journey.check(services=9, shared=12)
    assert len(journey.afterwards) <= 7, journey.afterwards
    assert misdescribed("The path of a revocation", journey) == []


async def test_a_warm_check_passes_through_few_files(provider: Provider, person: Person) -> None:
    """A key that the cache of key_issuer knows."""
    key = await person.create_key("mine", ["customise_score"])

    journey = await journey_of(200, [partial(provider.issuer.verify, key["token"])] * MANY)

    journey.check(services=3, shared=2)
    assert misdescribed("The path of a check", journey) == []
