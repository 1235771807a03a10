"""How a client program talks to the test: lines of JSON. It asks the person to go somewhere, and tells what came of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Case = Callable[["Setting"], Mapping[str, Any]]


@dataclass(frozen=True)
class Setting:
    """Where Latchkey is, and the clients that are registered for the case."""

    issuer: str
    client_id: str
    client_secret: str
    public_client_id: str
    redirect_uri: str
    scope: str

    @property
    def authorize(self) -> str:
        """The authorization endpoint."""
        return f"{self.issuer}/oauth/authorize"

    def endpoint(self, name: str) -> str:
        """`token`, `revoke`, `introspect`, `par` or `device_authorization`."""
        return f"{self.issuer}/api/v1/oauth/{name}"


def ask_person(**message: Any) -> str:
    """Sends the person somewhere (``open``, ``decline`` or ``device``); where they came out."""
    print(json.dumps(message), flush=True)  # noqa: T201 - the conversation
    answer: str = json.loads(sys.stdin.readline())["callback"]
    return answer


def play(cases: Mapping[str, Case]) -> None:
    """For each line: reads a case's name and the setting, plays it, tells its result."""
    while line := sys.stdin.readline():
        told = json.loads(line)
        case = cases[told.pop("case")]
        print(json.dumps({"result": dict(case(Setting(**told)))}), flush=True)  # noqa: T201 - the conversation
