"""The configuration: environment variables ``LATCHKEY_…``, parsed once, all wrong values reported together."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from shared.redis.url import parse_redis_url

PREFIX: Final = "LATCHKEY_"
SECRET_NAMES: Final = frozenset(
    {"DATABASE_URL", "AUTH_API_DATABASE_URL", "KEY_ISSUER_DATABASE_URL", "REDIS_URL", "SECRET", "KEY_PEPPER"}
)
SHORTEST_SECRET: Final = 32
LONGEST_CODE_TTL: Final = 600
_PORTS: Final = range(1, 65_536)
_POSTGRES_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f.:]+\]|[^@:\[\]]*)(?::([0-9]{1,5}))?", re.ASCII)


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


class Settings(BaseModel):
    """What the operator decided. Durations are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    public_url: str
    """The one origin of the site's Latchkey, without a trailing slash; also the OAuth issuer."""
    auth_api_database_url: str = ""
    key_issuer_database_url: str = ""
    redis_url: str = ""
    secrets: tuple[bytes, ...] = ()
    """The server's secret, newest first; older ones are still accepted while it rotates."""
    key_peppers: dict[int, bytes] = {}
    """Version → pepper; the first is used for new keys, and for older ones when they are next used."""
    site_name: str = "Latchkey"
    key_prefix: str = "lk"
    code_ttl_seconds: int = 60
    sign_up: Literal["open", "closed"] = "open"
    sign_up_limit: int = 100
    throttle: bool = True
    trusted_proxies: int = 0
    clients_per_user: int = 20
    audit_days: int = 400  # older lines of the audit are deleted; 0 keeps all
    ended_key_days: int = 400  # rows of keys that ended longer ago are deleted; 0 keeps all
    permissions_file: Path | None = None
    registration: bool = False
    """RFC 7591 registration by programs; off unless the operator turns it on."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @property
    def secret(self) -> bytes:
        """The secret for everything new."""
        return self.secrets[0]

    @property
    def origin(self) -> str:
        """``scheme://host[:port]`` of the public URL, as browsers write it in ``Origin``."""
        parts = urlsplit(self.public_url)
        default = {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, default) else "")

    @property
    def secure(self) -> bool:
        """Whether the public URL is https: cookies are then ``__Host-`` and ``Secure``."""
        return self.public_url.startswith("https://")


def load_settings(environ: Mapping[str, str] = os.environ, *, need: frozenset[str] = frozenset()) -> Settings:
    """Reads the configuration.

    Args:
        environ: the environment; each secret ``LATCHKEY_X`` may be given as a file in ``LATCHKEY_X_FILE``.
        need: which of ``auth_api_database_url``, ``key_issuer_database_url``, ``redis_url``, ``secrets``,
            ``key_peppers``, ``public_url`` the caller cannot do without.

    Raises:
        ConfigurationError: with every wrong value at once.
    """
    reader = _Reader(environ)
    values: dict[str, Any] = {"public_url": "http://127.0.0.1:8080"}
    for name, (field, parse) in _VARIABLES.items():
        given = reader.take(name, parse)
        if given is not None:
            values[field] = given
    shared_database = values.pop("database_url", "")
    for field in ("auth_api_database_url", "key_issuer_database_url"):
        values.setdefault(field, shared_database)
    reader.require(need, values)
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return Settings.model_validate(values)


class _Reader:
    """Takes variables one by one and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[ConfigurationProblem] = []

    def take(self, name: str, parse: Callable[[str], Any]) -> Any:
        """The parsed value of a variable, or ``None`` where it is absent, empty or wrong."""
        text = self._text(name)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self._note(name, str(error), text)
            return None

    def require(self, need: frozenset[str], values: Mapping[str, Any]) -> None:
        """Notes every needed value that is absent and not already noted as wrong."""
        noted = {problem.variable for problem in self.problems}
        for field in sorted(need):
            name, expected = _REQUIRED[field]
            if not values.get(field) and PREFIX + name not in noted:
                noted.add(PREFIX + name)
                self.problems.append(ConfigurationProblem(PREFIX + name, expected, "nothing"))

    def _text(self, name: str) -> str | None:
        text = self._environ.get(PREFIX + name) or None
        file = self._environ.get(f"{PREFIX}{name}_FILE") if name in SECRET_NAMES else None
        if text and file:
            self._note(name, f"either {PREFIX}{name} or {PREFIX}{name}_FILE, not both", text)
            return None
        if file:
            try:
                return Path(file).read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                problem = ConfigurationProblem(
                    f"{PREFIX}{name}_FILE", "a readable UTF-8 file", f"{file} ({error})"
                )
                self.problems.append(problem)
        return text

    def _note(self, name: str, expected: str, given: str) -> None:
        shown = _masked(given) if name in SECRET_NAMES else repr(given)
        self.problems.append(ConfigurationProblem(PREFIX + name, expected, shown))


def _masked(text: str) -> str:
    return f"{len(text.encode())} bytes, not shown"


def _public_url(text: str) -> str:
    url = text.removesuffix("/")
    expected = "an http(s) address without path, query or user, like https://keys.example.com"
    try:
        parts = urlsplit(url)
        port_is_good = parts.port != 0
    except ValueError:
        raise ValueError(expected) from None
    plain = not (
        parts.path or parts.query or parts.fragment or "@" in parts.netloc or url.endswith(("?", "#"))
    )
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or not port_is_good:
        raise ValueError(expected)
    if not re.fullmatch(r"[a-z]+://[a-z0-9.:\[\]-]+", url):
        raise ValueError(expected + ", in lower-case ASCII")
    return url


def _postgres_url(text: str) -> str:
    """A URI of libpq, which may name several hosts."""
    expected = _REQUIRED["auth_api_database_url"][1]
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError(expected)
    login, _, hosts = parts.netloc.rpartition("@")
    each = [_POSTGRES_HOST.fullmatch(host) for host in hosts.split(",")]
    if "@" in login or not all(host and int(host[1] or 5432) in _PORTS for host in each):
        raise ValueError(f"{expected}, with %40, %2F and %23 for @, / and # in a password")
    return text


def _redis_url(text: str) -> str:
    try:
        parse_redis_url(text)
    except ValueError as error:
        raise ValueError(f"{_REQUIRED['redis_url'][1]} ({error})") from None
    return text


def _secret(text: str) -> bytes:
    if len(text.encode()) < SHORTEST_SECRET:
        raise ValueError(f"at least {SHORTEST_SECRET} bytes (`latchkey init` makes one)")
    return text.encode()


def _secrets(text: str) -> tuple[bytes, ...]:
    return tuple(_secret(part) for part in text.split(",") if part)


def _peppers(text: str) -> dict[int, bytes]:
    """``PEPPER`` alone is version 1; while it rotates first ``1:OLD,2:NEW`` everywhere, then ``2:NEW,1:OLD``."""
    if not re.match(r"[0-9]{1,4}:", text):
        return {1: _secret(text)}
    peppers: dict[int, bytes] = {}
    for part in text.split(","):
        version, _, pepper = part.partition(":")
        if not re.fullmatch(r"[0-9]{1,4}", version, re.ASCII):
            raise ValueError("PEPPER, or VERSION:PEPPER,VERSION:PEPPER while it rotates")
        peppers[int(version)] = _secret(pepper)
    return peppers


def _integer(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError("one of " + ", ".join(words))
        return text.lower()

    return parse


def _on_off(text: str) -> bool:
    return _one_of("on", "off")(text) == "on"


def _site_name(text: str) -> str:
    if len(text) not in range(1, 61) or not text.isprintable():
        raise ValueError("1 to 60 printable characters")
    return text


def _key_prefix(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,4}", text):
        raise ValueError("2 to 4 lower-case letters")
    return text


def _existing_file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ValueError("the path of an existing file")
    return path


_VARIABLES: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "PUBLIC_URL": ("public_url", _public_url),
    "DATABASE_URL": ("database_url", _postgres_url),
    "AUTH_API_DATABASE_URL": ("auth_api_database_url", _postgres_url),
    "KEY_ISSUER_DATABASE_URL": ("key_issuer_database_url", _postgres_url),
    "REDIS_URL": ("redis_url", _redis_url),
    "SECRET": ("secrets", _secrets),
    "KEY_PEPPER": ("key_peppers", _peppers),
    "SITE_NAME": ("site_name", _site_name),
    "KEY_PREFIX": ("key_prefix", _key_prefix),
    "CODE_TTL_SECONDS": ("code_ttl_seconds", _integer(1, LONGEST_CODE_TTL)),
    "SIGN_UP": ("sign_up", _one_of("open", "closed")),
    "SIGN_UP_LIMIT": ("sign_up_limit", _integer(1, 1_000_000)),
    "THROTTLE": ("throttle", _on_off),
    "TRUSTED_PROXIES": ("trusted_proxies", _integer(0, 10)),
    "CLIENTS_PER_USER": ("clients_per_user", _integer(1, 1_000_000)),
    "AUDIT_DAYS": ("audit_days", _integer(0, 36_500)),
    "ENDED_KEY_DAYS": ("ended_key_days", _integer(0, 36_500)),
    "PERMISSIONS_FILE": ("permissions_file", _existing_file),
    "REGISTRATION": ("registration", _on_off),
    "LOG_LEVEL": ("log_level", _one_of("debug", "info", "warning", "error")),
    "LOG_FORMAT": ("log_format", _one_of("json", "console")),
}

_REQUIRED: Final[Mapping[str, tuple[str, str]]] = {
    "public_url": ("PUBLIC_URL", "the address people use, like https://keys.example.com"),
    "auth_api_database_url": ("DATABASE_URL", "postgresql://user:password@host:port/database"),
    "key_issuer_database_url": ("DATABASE_URL", "postgresql://user:password@host:port/database"),
    "redis_url": (
        "REDIS_URL",
        "redis://[user:password@]host:port[/number] or redis+sentinel://host:port/name",
    ),
    "secrets": ("SECRET", f"at least {SHORTEST_SECRET} bytes (`latchkey init` makes one)"),
    "key_peppers": ("KEY_PEPPER", f"at least {SHORTEST_SECRET} bytes (`latchkey init` makes one)"),
}
