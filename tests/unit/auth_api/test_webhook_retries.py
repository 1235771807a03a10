"""When a webhook is tried again, whatever its endpoint says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth_api.webhooks.retries import LONGEST_POSTPONED_MS, next_try_on
from shared.environment import ConfigurationError
from shared.pauses import WEBHOOK_PAUSES, read_pauses
from shared.settings import load_settings

NOW = 1_795_952_334_000


def at(number: float) -> Callable[[], float]:
    """A source of chance that always says this."""
    return lambda: number


def test_the_pauses_have_a_fifth_of_jitter_and_an_end() -> None:
    """Nine pauses make ten tries."""
    for tries, pause in enumerate(WEBHOOK_PAUSES, 1):
        assert next_try_on(NOW, tries, WEBHOOK_PAUSES, None, at(0)) == NOW + pause * 1000
        assert next_try_on(NOW, tries, WEBHOOK_PAUSES, None, at(1)) == NOW + pause * 1200
    assert next_try_on(NOW, 10, WEBHOOK_PAUSES, "5") is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("999999999", 86_400),
        ("Sun, 29 Nov 2026 12:00:00 GMT", 1_266),
        ("Sunday, 29-Nov-26 12:00:00 GMT", 1_266),
        ("Sun, 29 Nov 2026 14:00:00 +0200", 1_266),
        ("Sun, 29 Nov 2026 12:00:00 -0000", 1_266),
        ("Sun, 29 Nov 9999 12:00:00 GMT", 86_400),
        ("4", 5),
        ("-1", 5),
        ("1e3", 5),
        ("1_000", 5),
        ("١٢٠", 5),
        ("12.5", 5),
        ("soon", 5),
        ("", 5),
        ("Sun, 29 Nov 2026 25:00:00 GMT", 5),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 5),
        ("Sun, 29 Nov 2026 12:00:00 GMT" + " " * 100, 5),
    ],
)
def test_retry_after_postpones_and_never_hastens(text: str, seconds: int) -> None:
    """In seconds or as a date; anything else is as if it were not there."""
    assert next_try_on(NOW, 1, (5,), text, at(0)) == NOW + seconds * 1000


@given(
    st.text(max_size=80)
    | st.from_regex(r"[A-Za-z]{3},? [0-9]{1,3}[ -][A-Za-z]{3}[ -][0-9]{1,6} [0-9:]{1,9} .{0,6}")
)
def test_no_text_breaks_it(text: str) -> None:
    """It is a stranger's."""
    due_on = next_try_on(NOW, 1, (5,), text, at(0))
    assert due_on is not None
    assert NOW + 5_000 <= due_on <= NOW + LONGEST_POSTPONED_MS


def test_pauses_are_read_as_an_operator_writes_them() -> None:
    """Whole seconds or parts of one."""
    assert read_pauses("5,300,0.5, 60") == (5, 300, 0.5, 60)
    assert load_settings({"LATCHKEY_WEBHOOK_RETRY_SECONDS": "1,2"}).webhook_retry_seconds == (1, 2)
    assert load_settings({}).webhook_retry_seconds == WEBHOOK_PAUSES


@pytest.mark.parametrize("text", [",", "0", "5,0", "5,-1", "nan", "5,,6", "1e9", "soon", ",".join("1" * 21)])
def test_other_pauses_are_refused(text: str) -> None:
    """With the variable's name and what would be right."""
    with pytest.raises(
        ConfigurationError, match="LATCHKEY_WEBHOOK_RETRY_SECONDS: expected 1 to 20 positive numbers"
    ):
        load_settings({"LATCHKEY_WEBHOOK_RETRY_SECONDS": text})
