"""Request parameters: each at most once, an empty one absent, an unknown one ignored (RFC 6749 §3.1, §3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.auth_api.oauth.errors import invalid_request


@dataclass(frozen=True, slots=True)
class Parameters:
    """The known parameters that carry a value, and the names of those that were sent more than once."""

    values: Mapping[str, str]
    repeated: tuple[str, ...] = ()

    def get(self, name: str) -> str | None:
        """The value, or ``None`` where the parameter is absent, empty or repeated."""
        return self.values.get(name)

    def require(self, name: str) -> str:
        """The value.

        Raises:
            OAuthError: ``invalid_request`` naming the parameter.
        """
        value = self.values.get(name)
        if value is None:
            raise invalid_request(f"{name} is missing.")
        return value

    def refuse_repeated(self) -> None:
        """Refuses a request that carries a parameter more than once: none of its values can be believed.

        Raises:
            OAuthError: ``invalid_request`` naming the parameters.
        """
        if self.repeated:
            raise invalid_request(f"{', '.join(self.repeated)} must not be sent more than once.")


def collect(pairs: Iterable[tuple[str, str]], known: frozenset[str]) -> Parameters:
    """Sorts the pairs of a form or query. A repeated parameter has no value, whatever its values are."""
    seen: dict[str, str] = {}
    repeated: list[str] = []
    for name, value in pairs:
        if name in known:
            if name in seen:
                repeated.append(name)
            seen[name] = value
    if not repeated and "" not in seen.values():
        return Parameters(seen)
    values = {name: value for name, value in seen.items() if value and name not in repeated}
    return Parameters(values, tuple(dict.fromkeys(repeated)))


def collect_json(document: Mapping[str, Any], known: frozenset[str]) -> Parameters:
    """The same fields out of a JSON object; ``null`` counts as absent.

    Raises:
        OAuthError: ``invalid_request`` naming the field that is no text.
    """
    values: dict[str, str] = {}
    for name in known:
        value = document.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise invalid_request(f"{name} must be text.")
        values[name] = value
    return Parameters(values)
