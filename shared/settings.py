"""The configuration: environment variables ``LATCHKEY_…``, parsed once, all wrong values reported together."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from shared.environment import PREFIX, ConfigurationError, ConfigurationProblem, problem_of, text_of
from shared.host_names import is_host_name
from shared.partner_keys import source_of_keys
from shared.pauses import WEBHOOK_PAUSES, read_pauses
from shared.redis.url import parse_redis_url

SHORTEST_SECRET: Final = 32
LONGEST_CODE_TTL: Final = 600
_PORTS: Final = range(1, 65_536)
_POSTGRES_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f.:]+\]|[^@:\[\]]*)(?::([0-9]{1,5}))?", re.ASCII)
_LOOPBACK: Final = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|::1", re.ASCII)
_PROXY: Final = re.compile(
    r"http://(?:[A-Za-z0-9\-._~!$&'()*+,;=%]{1,200}:[A-Za-z0-9\-._~!$&'()*+,;=%]{0,1000}@)?"
    r"(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})/?",
    re.ASCII,
)
_POSTGRES: Final = "postgresql://user:password@host:port/database"
_REDIS: Final = "redis://[user:password@]host:port[/number] or redis+sentinel://host:port/name"
_SECRET: Final = f"at least {SHORTEST_SECRET} bytes (`latchkey init` makes one)"
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "auth_api_database_url": ("AUTH_API_DATABASE_URL", "DATABASE_URL"),
    "key_issuer_database_url": ("KEY_ISSUER_DATABASE_URL", "DATABASE_URL"),
    "secrets": ("SECRET",),
    "key_peppers": ("KEY_PEPPER",),
}
"""The variables of a field, the first that is given counts; those of all others are called like the field."""


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
    if not is_host_name(parts.hostname) and ":" not in parts.hostname:
        raise ValueError(expected + ", with a host that DNS could know")
    return url


def _postgres_url(text: str) -> str:
    """A URI of libpq, which may name several hosts."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(_POSTGRES) from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError(_POSTGRES)
    login, _, hosts = parts.netloc.rpartition("@")
    each = [_POSTGRES_HOST.fullmatch(host) for host in hosts.split(",")]
    if "@" in login or not all(host and int(host[1] or 5432) in _PORTS for host in each):
        raise ValueError(f"{_POSTGRES}, with %40, %2F and %23 for @, / and # in a password")
    return text


def _redis_url(text: str) -> str:
    try:
        parse_redis_url(text)
    except ValueError as error:
        raise ValueError(f"{_REDIS} ({error})") from None
    return text


def _secret(text: str) -> bytes:
    if len(text.encode()) < SHORTEST_SECRET:
        raise ValueError(_SECRET)
    return text.encode()


def _secrets(text: str) -> tuple[bytes, ...]:
    return tuple(map(_secret, filter(None, text.split(",")))) or (_secret(""),)


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


def _on_off(text: str) -> bool:
    if text.lower() not in ("on", "off"):
        raise ValueError("on or off")
    return text.lower() == "on"


def _outer_address(text: str, expected: str) -> SplitResult:
    """An address off this host is https."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        raise ValueError(expected) from None
    is_plain = re.fullmatch(r"[\x21-\x7e]{1,1000}", text) is not None and "#" not in text and "\\" not in text
    is_private = parts.scheme == "https" or (parts.scheme == "http" and _LOOPBACK.fullmatch(host) is not None)
    if not (is_plain and is_private and host) or "@" in parts.netloc:
        raise ValueError(expected)
    return parts


def _oidc_issuer(text: str) -> str:
    expected = "the issuer of an OpenID provider: an https address (http on loopback only) without query"
    if _outer_address(text, expected).query or "?" in text:
        raise ValueError(expected)
    return text


def _outgoing_proxy(text: str) -> str:
    expected = "a proxy that takes CONNECT, http://[user:password@]host:port, with %40, %3A and %2F for @, : and / in a password"
    found = _PROXY.fullmatch(text)
    if found is None or int(found["port"]) not in _PORTS:
        raise ValueError(expected)
    host = found["host"]
    try:
        is_good = is_host_name(host) if host[0] != "[" else bool(IPv6Address(host[1:-1]))
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError(expected)
    return text


def _words(text: str) -> str:
    if re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]{1,60}( [\x21\x23-\x5b\x5d-\x7e]{1,60}){0,30}", text) is None:
        raise ValueError("words with one space between them")
    return text


def _header_name(text: str) -> str:
    if re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,60}", text) is None or text.lower() in (
        "cookie",
        "authorization",
        "host",
    ):
        raise ValueError("the name of a header, and none that means something else (Cookie)")
    return text


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in text.split(","))
    except ValueError:
        raise ValueError("networks like 10.0.0.0/8,fd00::/8") from None


def _login_url(text: str) -> str:
    expected = "an https address (http on loopback only) without fragment and login_challenge"
    query = parse_qsl(_outer_address(text, expected).query, keep_blank_values=True)
    if any(name == "login_challenge" for name, _ in query):
        raise ValueError(expected)
    return text


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


def _read(parse: Callable[[str], Any]) -> BeforeValidator:
    """Parses the text of a variable; what is no text has been parsed before."""
    return BeforeValidator(lambda given: parse(given) if isinstance(given, str) else given)


_PostgresURL = Annotated[str, _read(_postgres_url)]
_WORD: Final = BeforeValidator(str.lower)
_Days = Annotated[int, _read(_integer(0, 36_500))]


class Settings(BaseModel):
    """What the operator decided. Durations are in seconds. Each field takes its value, or the text of its variable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    public_url: Annotated[str, _read(_public_url)] = "http://127.0.0.1:8080"
    """The one origin of the site's Latchkey, without a trailing slash; also the OAuth issuer."""
    auth_api_database_url: _PostgresURL = ""
    key_issuer_database_url: _PostgresURL = ""
    redis_url: Annotated[str, _read(_redis_url)] = ""
    secrets: Annotated[tuple[bytes, ...], _read(_secrets)] = ()
    """The server's secret, newest first; older ones are still accepted while it rotates."""
    key_peppers: Annotated[dict[int, bytes], _read(_peppers)] = {}
    """Version → pepper; the first is used for new keys, and for older ones when they are next used."""
    site_name: Annotated[str, _read(_site_name)] = "Latchkey"
    key_prefix: Annotated[str, _read(_key_prefix)] = "lk"
    code_ttl_seconds: Annotated[int, _read(_integer(1, LONGEST_CODE_TTL))] = 60
    sign_up: Annotated[Literal["open", "closed"], _WORD] = "open"
    sign_up_limit: Annotated[int, _read(_integer(1, 1_000_000))] = 100
    throttle: Annotated[bool, _read(_on_off)] = True
    trusted_proxies: Annotated[int, _read(_integer(0, 10))] = 0
    clients_per_user: Annotated[int, _read(_integer(1, 1_000_000))] = 20
    keys_per_user: Annotated[int, _read(_integer(1, 1_000_000))] = 100  # live keys of a person's own
    audit_days: _Days = 400  # older lines of the audit are deleted; 0 keeps all
    ended_key_days: _Days = 400  # rows of keys that ended longer ago are deleted; 0 keeps all
    permissions_file: Annotated[Path | None, _read(_existing_file)] = None
    local_accounts: Annotated[bool, _read(_on_off)] = True
    """Whether people may have an account with a password here."""
    login_url: Annotated[str | None, _read(_login_url)] = None
    """The site's own login, to which browsers are sent and which says who they are (login handoff)."""
    login_name: Annotated[str, _read(_site_name)] = "the site's login"
    """What the button that leads there is called after."""
    oidc_issuer: Annotated[str | None, _read(_oidc_issuer)] = None
    """The OpenID provider that signs people in; needs ``oidc_client_id``."""
    oidc_client_id: str | None = None
    oidc_client_secret: str | None = None
    oidc_name: Annotated[str, _read(_site_name)] = "your account"
    """What the button that leads there is called after."""
    oidc_scopes: Annotated[str, _read(_words)] = "openid profile email"
    oidc_username_claim: Annotated[str, _read(_words)] = "preferred_username"
    user_header: Annotated[str | None, _read(_header_name)] = None
    """The header in which the site's proxy names the person, from ``user_header_peers`` only."""
    user_header_peers: Annotated[tuple[IPv4Network | IPv6Network, ...], _read(_networks)] = ()
    leak_partner_keys: Annotated[Path | str | None, _read(source_of_keys)] = None
    """Where the public keys of the partner are whose signed reports of leaked keys are taken: a file, or an address."""
    registration: Annotated[bool, _read(_on_off)] = False
    """RFC 7591 registration by programs; off unless the operator turns it on."""
    webhook_retry_seconds: Annotated[tuple[float, ...], _read(read_pauses)] = WEBHOOK_PAUSES
    """The pauses before each further try of a webhook that failed."""
    private_targets: Annotated[bool, _read(_on_off)] = False
    """Whether addresses that users give may lead to inner hosts: loopback, private, CGNAT and ULA addresses, dotless names."""
    outgoing_proxy: Annotated[str | None, _read(_outgoing_proxy)] = None
    """The proxy through which all addresses that users give are called, and which resolves their names."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _WORD] = "info"
    log_format: Annotated[Literal["json", "console"], _WORD] = "json"

    @cached_property
    def secret(self) -> bytes:
        """The secret for everything new."""
        return self.secrets[0]

    @cached_property
    def origin(self) -> str:
        """``scheme://host[:port]`` of the public URL, as browsers write it in ``Origin``."""
        parts = urlsplit(self.public_url)
        default = {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, default) else "")

    @cached_property
    def secure(self) -> bool:
        """Whether the public URL is https: cookies are then ``__Host-`` and ``Secure``."""
        return self.public_url.startswith("https://")


def load_settings(environ: Mapping[str, str] = os.environ, *, need: frozenset[str] = frozenset()) -> Settings:
    """Reads the configuration.

    Args:
        environ: the environment; each secret ``LATCHKEY_X`` may be given as a file in ``LATCHKEY_X_FILE``.
        need: which of ``auth_api_database_url``, ``key_issuer_database_url``, ``redis_url``, ``secrets`` and
            ``key_peppers`` the caller cannot do without.

    Raises:
        ConfigurationError: with every wrong value at once.
    """
    problems: list[ConfigurationProblem] = []
    names: dict[str, str] = {}
    texts: dict[str, str] = {}
    for field in Settings.model_fields:
        for name in _NAMES.get(field, (field.upper(),)):
            names[field] = name
            if text := text_of(environ, name, problems):
                texts[field] = text
                break
    noted = {problem.variable for problem in problems}
    texts |= {field: "" for field in need - texts.keys() if PREFIX + names[field] not in noted}
    try:
        settings = Settings.model_validate(texts)
    except ValidationError as error:
        for wrong in error.errors():
            field, reasons = str(wrong["loc"][0]), wrong["ctx"]
            # Of words pydantic itself says which there are, of all else our parsers what they expect.
            expected = str(reasons.get("error") or reasons["expected"])
            problems.append(problem_of(names[field], expected, texts[field]))
    else:
        problems += _without_a_way_in(settings)
        if not problems:
            return settings
    raise ConfigurationError(list(dict.fromkeys(problems)))


def _without_a_way_in(settings: Settings) -> list[ConfigurationProblem]:
    problems = []
    if settings.oidc_issuer is not None and settings.oidc_client_id is None:
        problems.append(
            problem_of("OIDC_CLIENT_ID", "the id of this site at the provider of LATCHKEY_OIDC_ISSUER", "")
        )
    if settings.user_header is not None and not settings.user_header_peers:
        expected = "the networks of the proxies whose LATCHKEY_USER_HEADER is believed, like 10.0.0.0/8"
        problems.append(problem_of("USER_HEADER_PEERS", expected, ""))
    if not (settings.local_accounts or settings.login_url or settings.oidc_issuer or settings.user_header):
        expected = "on, or another way in (LATCHKEY_LOGIN_URL, LATCHKEY_OIDC_ISSUER, LATCHKEY_USER_HEADER)"
        problems.append(problem_of("LOCAL_ACCOUNTS", expected, "off"))
    return problems
