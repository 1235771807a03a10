"""What happened: every operation of the load with its times and answer, and every fault of the nemesis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LOST: int = 0
"""The status of an operation whose answer never came: nobody knows whether it was carried out."""

Step = Literal["code", "exchange", "verify", "revoke"]


@dataclass(slots=True)
class Operation:
    """One request and its answer. Times are seconds of the load's monotonic clock."""

    step: Step
    target: str
    began: float
    ended: float
    status: int
    """The HTTP status, or ``LOST``."""
    error: str = ""
    token: str = ""
    idempotency_key: str = ""


@dataclass(slots=True)
class Story:
    """The life of one code: how it was given, every try to exchange it, and what became of its key."""

    code: str
    given: float
    operations: list[Operation] = field(default_factory=list)

    def of(self, step: Step) -> list[Operation]:
        """The operations of one kind, in the order of their beginning."""
        return sorted((each for each in self.operations if each.step == step), key=lambda each: each.began)

    @property
    def tokens(self) -> list[str]:
        """The different keys that were handed out for this code, first one first."""
        return list(dict.fromkeys(each.token for each in self.of("exchange") if each.status == 200))


@dataclass(frozen=True, slots=True)
class Fault:
    """What the nemesis did to whom, from when to when."""

    kind: Literal["kill", "stall"]
    target: str
    began: float
    ended: float


@dataclass(slots=True)
class History:
    """Everything of one run."""

    stories: list[Story] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    other_failures: list[Operation] = field(default_factory=list)
    """Operations before there was a code, that did not succeed."""

    def disturbed(self, began: float, ended: float, *targets: str) -> bool:
        """Whether one of the targets was under fire at some moment of a time."""
        return any(fault.target in targets for fault in self.during(began, ended))

    def killed(self, began: float, ended: float, target: str) -> bool:
        """Whether it died in a time, and so may have forgotten something."""
        return any((fault.kind, fault.target) == ("kill", target) for fault in self.during(began, ended))

    def during(self, began: float, ended: float) -> list[Fault]:
        """The faults of a time."""
        return [fault for fault in self.faults if fault.began <= ended and began <= fault.ended]
