"""Clients' fields are checked without holding up the event loop, and only so many at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from services.auth_api.clients import validation
from services.auth_api.clients.field_checker import LONGEST_QUEUE, FieldChecker, TemplatesBusy
from shared.contracts.clients import ClientFields

FIELDS = ClientFields(name="Fervidex", requested_permissions=("submit_score",), api_key_format="%%API_KEY%%")
CATALOGUE = ("submit_score",)


@pytest.fixture
def checker() -> Iterator[FieldChecker]:
    """A checker of the test's own."""
    checker = FieldChecker(private_targets=False)
    yield checker
    checker.close()


@pytest.fixture
def parsing(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Parsing a template takes until this is set; what waits for it on the loop's own thread waits in vain."""
    done = threading.Event()

    def parse(_template: str, _filename: str | None) -> str | None:
        return None if done.wait(10) else "was parsed on the event loop"

    monkeypatch.setattr(validation, "template_problem", parse)
    yield done
    done.set()


async def test_the_loop_goes_on_while_a_template_is_parsed(
    checker: FieldChecker, parsing: threading.Event
) -> None:
    """Other requests are served meanwhile."""
    asyncio.get_running_loop().call_soon(parsing.set)
    assert await checker.check("a", FIELDS, CATALOGUE) == []


async def test_a_client_without_a_template_waits_for_none(
    checker: FieldChecker, parsing: threading.Event
) -> None:
    """Its fields are looked at at once."""
    waiting = asyncio.create_task(checker.check("a", FIELDS, CATALOGUE))
    await asyncio.sleep(0)
    without = FIELDS.model_copy(update={"api_key_format": None})
    assert await checker.check("a", without, CATALOGUE) == []
    parsing.set()
    assert await waiting == []


async def test_so_many_wait_and_no_more(checker: FieldChecker, parsing: threading.Event) -> None:
    """The next one is refused at once; one of another author takes a place of those who have most."""
    waiting = [asyncio.create_task(checker.check("a", FIELDS, CATALOGUE)) for _ in range(LONGEST_QUEUE)]
    await asyncio.sleep(0)
    with pytest.raises(TemplatesBusy):
        await checker.check("a", FIELDS, CATALOGUE)
    other = asyncio.create_task(checker.check("b", FIELDS, CATALOGUE))
    with pytest.raises(TemplatesBusy):
        await waiting[-1]
    parsing.set()
    assert await asyncio.gather(other, *waiting[:-1]) == [[]] * LONGEST_QUEUE


async def test_its_faults_are_those_of_the_rules(checker: FieldChecker) -> None:
    """By the field's name, in the order of the fields."""
    wrong = FIELDS.model_copy(update={"api_key_format": "no placeholder", "name": ""})
    assert [error.field for error in await checker.check("a", wrong, CATALOGUE)] == ["name", "apiKeyFormat"]
