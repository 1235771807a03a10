"""Points in time as people read them. The pages know no time zone but UTC, and say so where it matters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_SECOND: Final = 1000
_UNITS: Final = (("day", 86_400 * _SECOND), ("hour", 3_600 * _SECOND), ("minute", 60 * _SECOND))
_LONG_AGO: Final = 60 * 86_400 * _SECOND


@dataclass(frozen=True, slots=True)
class Moment:
    """A time: for machines (ISO 8601) and in words."""

    iso: str
    words: str
    exact: str
    """To the minute, with the time zone."""


def day_of(on: int) -> Moment:
    """A day: ``23 November 2026``."""
    at = _datetime(on)
    return _moment(at, f"{at.day} {at:%B %Y}")


def minute_of(on: int) -> Moment:
    """A time to the second, for records: ``2026-11-23 21:12:04 UTC``."""
    at = _datetime(on)
    return _moment(at, f"{at:%Y-%m-%d %H:%M:%S} UTC")


def time_of(on: int) -> Moment:
    """A time of today: ``21:12 UTC``."""
    at = _datetime(on)
    return _moment(at, f"{at:%H:%M} UTC")


def ago(on: int, now: int) -> Moment:
    """How long ago: ``3 hours ago``; the day where that is long past."""
    passed = now - on
    if passed >= _LONG_AGO:
        return day_of(on)
    for unit, length in _UNITS:
        count = passed // length
        if count >= 1:
            return _moment(_datetime(on), f"{count} {unit}{'' if count == 1 else 's'} ago")
    return _moment(_datetime(on), "just now")


def date_field(on: int) -> str:
    """The value of a date field: ``2026-11-23``."""
    return f"{_datetime(on):%Y-%m-%d}"


def end_of_day(text: str) -> int | None:
    """The last second, in UTC, of the day in a date field (milliseconds); ``None`` where it holds no day."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(hour=23, minute=59, second=59, tzinfo=UTC)
    except ValueError:
        return None
    return int(day.timestamp()) * _SECOND


def _datetime(on: int) -> datetime:
    return datetime.fromtimestamp(on / _SECOND, UTC)


def _moment(at: datetime, words: str) -> Moment:
    return Moment(f"{at:%Y-%m-%dT%H:%M:%SZ}", words, f"{at:%Y-%m-%d %H:%M} UTC")
