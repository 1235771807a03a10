"""What `doctor` says of a configuration."""

from __future__ import annotations

from typing import Final

import pytest

from deploy.doctor.configuration import examine_configuration
from deploy.doctor.findings import Finding, Verdict

GOOD: Final = {
    "LATCHKEY_DATABASE_URL": "postgresql://role:password@db/latchkey",
    "LATCHKEY_REDIS_URL": "redis://user:password@redis:6379/0",
    "LATCHKEY_SECRET": "x7Jm2Qv9Tz4Rb8Kc1Wd6Yf3Hg5Np0LsAeUiOo-_qVtBn",
    "LATCHKEY_KEY_PEPPER": "p3Zk8Xw1Mv6Bq9Tj4Rc7Yn2Hd5Lf0GsUaIeOo_-wQzKx",
    "LATCHKEY_PUBLIC_URL": "https://keys.example.com",
}


def _findings(**changed: str | None) -> dict[str, Finding]:
    environ = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    notes, _settings = examine_configuration(environ)
    return {finding.subject: finding for finding in notes.findings}


def test_a_good_configuration_has_nothing_to_mend() -> None:
    """Every line is well, and none shows a secret."""
    findings = _findings()
    assert {finding.verdict for finding in findings.values()} == {Verdict.OK}
    assert not any(GOOD["LATCHKEY_SECRET"] in finding.detail for finding in findings.values())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LATCHKEY_DATABASE_URL", "mysql://db"),
        ("LATCHKEY_REDIS_URL", None),
        ("LATCHKEY_SECRET", "short"),
        ("LATCHKEY_SECRET", "a" * 64),
        ("LATCHKEY_KEY_PEPPER", "abababababababababababababababababababab"),
        ("LATCHKEY_CODE_TTL_SECONDS", "3600"),
        ("LATCHKEY_PERMISSIONS_FILE", "/nowhere/permissions.toml"),
    ],
)
def test_what_cannot_work_is_a_problem_with_advice(variable: str, value: str | None) -> None:
    """A wrong, missing or guessable value is named, and the line says what to do."""
    finding = _findings(**{variable: value})[variable]
    assert finding.verdict is Verdict.PROBLEM
    assert finding.advice
    assert value is None or len(value) < 30 or value not in finding.detail


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LATCHKEY_PUBLIC_URL", "http://keys.example.com"),
        ("LATCHKEY_THROTTLE", "off"),
        ("LATCHKEY_LOG_LEVEL", "debug"),
        ("LATCHKEY_PRIVATE_TARGETS", "on"),
    ],
)
def test_what_should_not_stay_is_a_warning(variable: str, value: str) -> None:
    """It works, but not for production."""
    finding = _findings(**{variable: value})[variable]
    assert finding.verdict is Verdict.WARNING
    assert finding.advice


def test_one_wrong_value_does_not_hide_the_others() -> None:
    """What is right is still looked at, so that the stores can be."""
    notes, settings = examine_configuration({**GOOD, "LATCHKEY_SECRET": "short"})
    assert settings.redis_url == GOOD["LATCHKEY_REDIS_URL"]
    assert settings.auth_api_database_url == GOOD["LATCHKEY_DATABASE_URL"]
    assert sum(finding.verdict is Verdict.PROBLEM for finding in notes.findings) == 1
