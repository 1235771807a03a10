"""What an examination finds: one line per thing looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as it should in production."""
    PROBLEM = "problem"
    """It does not work, or a promise does not hold."""
    UNKNOWN = "unknown"
    """Could not be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``advice`` says what to do, unless all is well."""

    area: str
    subject: str
    verdict: Verdict
    detail: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


class Notes:
    """Collects the findings of one area."""

    def __init__(self, area: str) -> None:
        """Starts empty."""
        self.area = area
        self.findings: list[Finding] = []

    def ok(self, subject: str, detail: str) -> None:
        """All is well, unless it was found before that it is not."""
        if any(
            finding.subject == subject and finding.verdict is Verdict.PROBLEM for finding in self.findings
        ):
            return
        self.findings.append(Finding(self.area, subject, Verdict.OK, detail))

    def warning(self, subject: str, detail: str, advice: str) -> None:
        """Works, but should not stay so."""
        self.findings.append(Finding(self.area, subject, Verdict.WARNING, detail, advice))

    def problem(self, subject: str, detail: str, advice: str) -> None:
        """Does not work."""
        self.findings.append(Finding(self.area, subject, Verdict.PROBLEM, detail, advice))

    def unknown(self, subject: str, detail: str, advice: str = "") -> None:
        """Could not be looked at."""
        self.findings.append(Finding(self.area, subject, Verdict.UNKNOWN, detail, advice))

    def judge(self, subject: str, detail: str, *, good: bool, advice: str) -> None:
        """Well or a problem."""
        if good:
            self.ok(subject, detail)
        else:
            self.problem(subject, detail, advice)


def has_problem(findings: Iterable[Finding], area: str = "") -> bool:
    """Whether any finding (of an area) is a problem."""
    return any(
        finding.verdict is Verdict.PROBLEM and (not area or finding.area == area) for finding in findings
    )
