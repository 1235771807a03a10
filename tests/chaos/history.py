"""What happened: every operation of the load with its times and answer, and every fault of the nemesis."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Self

LOST: int = 0
"""The status of an operation whose answer never came: nobody knows whether it was carried out."""

Step = Literal["code", "exchange", "rotate", "list", "verify", "revoke"]
"""``rotate`` gives a key as ``exchange`` does; ``revoke`` is whatever ends one, a report of a leak too."""

FaultKind = Literal["kill", "stall", "stop", "hold", "refuse"]
"""``stop``: SIGTERM while Redis is away. ``hold``: what it sent to Redis is overtaken by what it sends on a younger
connection. ``refuse``: Redis answers reads and refuses writes; nothing else is harmed meanwhile.
"""


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
    """The key that was given, checked, ended or looked for."""
    idempotency_key: str = ""
    listed: bool = False
    """Of ``list``: whether the key was there."""


@dataclass(slots=True)
class Story:
    """The life of one code, or of one rotation: every try to get a key out of it, and what became of that key."""

    code: str
    given: float
    operations: list[Operation] = field(default_factory=list)

    def of(self, step: Step) -> list[Operation]:
        """The operations of one kind, in the order of their beginning."""
        return sorted((each for each in self.operations if each.step == step), key=lambda each: each.began)

    @property
    def tokens(self) -> list[str]:
        """The different keys that were handed out for this code, first one first."""
        return list(dict.fromkeys(each.token for each in self.tries if each.status == 200))

    @property
    def tries(self) -> list[Operation]:
        """The exchanges or rotations, in the order of their beginning."""
        return self.of("exchange") + self.of("rotate")


@dataclass(frozen=True, slots=True)
class Fault:
    """What the nemesis did to whom, from when to when."""

    kind: FaultKind
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

    def write(self, path: Path) -> None:
        """Keeps it in a file, to be judged again by ``python -m tests.chaos.checker``."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """One that was kept."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            [
                Story(
                    each["code"], each["given"], [Operation(**operation) for operation in each["operations"]]
                )
                for each in kept["stories"]
            ],
            [Fault(**fault) for fault in kept["faults"]],
            [Operation(**operation) for operation in kept["other_failures"]],
        )

    def disturbed(self, began: float, ended: float, *targets: str) -> bool:
        """Whether one of the targets was under fire at some moment of a time."""
        return any(fault.target in targets for fault in self.during(began, ended))

    def lost(self, began: float, ended: float) -> bool:
        """Whether Redis died in a time, and so may have forgotten what it had just been told."""
        return any(
            (fault.kind, fault.target) == ("kill", "valkey") and began <= fault.began <= ended
            for fault in self.faults
        )

    def during(self, began: float, ended: float) -> list[Fault]:
        """The faults of a time."""
        return [fault for fault in self.faults if fault.began <= ended and began <= fault.ended]
