"""What the templates print, made from the answers of the other services."""

from __future__ import annotations

import base64

import pytest

from services.consent_ui.display_names import homepage_of
from services.consent_ui.filters import download_address, permission_groups, rows_of
from services.consent_ui.form_errors import client_form_errors
from services.consent_ui.moments import ago, date_field, day_of, end_of_day, minute_of, time_of
from shared.contracts.field_errors import FieldError
from shared.permissions import load_permissions

NOW = 1_795_456_269_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def test_times_are_told_in_words() -> None:
    """The day, the minute, the second, each with its machine-readable form."""
    assert day_of(NOW).words == "23 November 2026"
    assert time_of(NOW).words == "17:51 UTC"
    assert minute_of(NOW).words == "2026-11-23 17:51:09 UTC"
    assert (day_of(NOW).iso, day_of(NOW).exact) == ("2026-11-23T17:51:09Z", "2026-11-23 17:51 UTC")


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (-MINUTE, "just now"),
        (0, "just now"),
        (MINUTE, "1 minute ago"),
        (2 * HOUR, "2 hours ago"),
        (DAY, "1 day ago"),
        (59 * DAY, "59 days ago"),
        (61 * DAY, "23 September 2026"),
    ],
)
def test_past_use_is_told_from_now(passed: int, words: str) -> None:
    """As people say it, in the singular where it is one."""
    assert ago(NOW - passed, NOW).words == words


def test_a_last_day_ends_with_that_day() -> None:
    """What a date field sends becomes the day's last second in UTC; anything else is no day."""
    assert end_of_day("2026-11-23") == 1_795_478_399_000
    assert date_field(1_795_478_399_000) == "2026-11-23"
    for text in ("", "2026-02-30", "23.11.2026", "0000-01-01", "9" * 50, "2026-11-23T00:00"):
        assert end_of_day(text) is None


def test_permissions_are_grouped_with_deletion_last() -> None:
    """Whatever order a client asked in; a name that the catalogue lost is still told."""
    groups = permission_groups(load_permissions(), ("delete_score", "submit_score", "gone_thing"))
    assert [(group.access, [line.name for line in group.lines]) for group in groups] == [
        ("change", ["submit_score", "gone_thing"]),
        ("delete", ["delete_score"]),
    ]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Epic.example/x", "epic.example"),
        ("http://epic.example:8080", "epic.example:8080"),
        (None, None),
        ("javascript:alert(1)", None),
        ("https:evil", None),
        ("https://a@evil.example", None),
        ("https://good\\@evil.example", None),
        ("https://evil.example/\n", None),
        ("https://\u0435vil.example", None),
        ("https://[::1", None),
    ],
)
def test_only_a_plain_web_address_becomes_a_link(url: str | None, host: str | None) -> None:
    """Whatever is stored: nothing else is ever an href."""
    homepage = homepage_of(url)
    assert (homepage.host if homepage else None) == host


def test_errors_lead_to_their_fields() -> None:
    """A sentence each, and the id of the control that it is about."""
    errors = client_form_errors(
        [
            FieldError(field="redirectUris.1", detail="must not hold a fragment (#)"),
            FieldError(field="name", detail="is required"),
            FieldError(field="somethingNew", detail="is odd."),
        ]
    )
    assert [(line.field, line.sentence) for line in errors.lines] == [
        ("redirect_uris", "Redirect address 2 must not hold a fragment (#)."),
        ("name", "The name is required."),
        ("", "The form is odd."),
    ]
    assert errors.of("name") == ("The name is required.",)


def test_the_file_travels_in_the_page() -> None:
    """The download holds the very bytes, and no browser takes it for a document."""
    address = download_address('{"k": "é"}\n')
    media_type, _, data = address.partition(";base64,")
    assert media_type == "data:application/octet-stream"
    assert base64.b64decode(data).decode() == '{"k": "é"}\n'
    assert [rows_of("x"), rows_of("1\n2\n3"), rows_of("\n" * 99)] == [2, 3, 16]
