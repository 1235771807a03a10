"""The environment as an operator writes it: variables ``LATCHKEY_…``, secrets also in files, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PREFIX: Final = "LATCHKEY_"
SECRET_NAMES: Final = frozenset(
    {
        "DATABASE_URL",
        "AUTH_API_DATABASE_URL",
        "KEY_ISSUER_DATABASE_URL",
        "REDIS_URL",
        "SECRET",
        "KEY_PEPPER",
        "OIDC_CLIENT_SECRET",
        "OUTGOING_PROXY",
    }
)


@dataclass(frozen=True, slots=True)
class ConfigurationProblem:
    """One wrong value: the variable, what it should be, and what was given (masked if secret)."""

    variable: str
    expected: str
    given: str

    def __str__(self) -> str:
        """One line for the operator."""
        return f"{self.variable}: expected {self.expected}; given {self.given}"


class ConfigurationError(Exception):
    """The configuration is wrong; ``problems`` holds every reason at once. The CLI exits with 78."""

    def __init__(self, problems: Sequence[ConfigurationProblem]) -> None:
        """Keeps the problems in the order of the variables."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def text_of(environ: Mapping[str, str], name: str, problems: list[ConfigurationProblem]) -> str | None:
    """The value of a variable or the content of its file; what is wrong with that is added to the problems."""
    text = environ.get(PREFIX + name) or None
    file = environ.get(f"{PREFIX}{name}_FILE") if name in SECRET_NAMES else None
    if text and file:
        problems.append(problem_of(name, f"either {PREFIX}{name} or {PREFIX}{name}_FILE, not both", text))
        return None
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            shown = f"{file} ({error})"
            problems.append(ConfigurationProblem(f"{PREFIX}{name}_FILE", "a readable UTF-8 file", shown))
    return text


def problem_of(name: str, expected: str, given: str) -> ConfigurationProblem:
    """A wrong value of a variable, whose ``name`` is without the prefix; a secret is shown by its length."""
    shown = f"{len(given.encode())} bytes, not shown" if name in SECRET_NAMES else repr(given)
    return ConfigurationProblem(PREFIX + name, expected, shown if given else "nothing")
