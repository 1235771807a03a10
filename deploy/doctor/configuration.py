"""Looks at the configuration: wrong values, weak secrets, and settings that do not suit production."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import log2
from typing import Final
from urllib.parse import urlsplit

from deploy.doctor.findings import Notes
from shared.environment import PREFIX, ConfigurationError
from shared.permissions import load_permissions
from shared.settings import Settings, load_settings

AREA: Final = "configuration"
NEEDED: Final = frozenset(
    {"auth_api_database_url", "key_issuer_database_url", "redis_url", "secrets", "key_peppers"}
)
_LEAST_ENTROPY: Final = 100
"""Bits, estimated from how often each character occurs; what `latchkey init` makes has well over 200."""
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def examine_configuration(
    environ: Mapping[str, str], need: frozenset[str] = NEEDED
) -> tuple[Notes, Settings]:
    """The findings, and the settings with every wrong value left out; ``need`` as for ``load_settings``."""
    notes = Notes(AREA)
    usable = dict(environ)
    try:
        load_settings(environ, need=need)
    except ConfigurationError as error:
        for problem in error.problems:
            notes.problem(
                problem.variable, f"given {problem.given}", f"Set {problem.variable} to {problem.expected}."
            )
            name = problem.variable.removesuffix("_FILE")
            usable.pop(name, None)
            usable.pop(f"{name}_FILE", None)
    settings = load_settings(usable)
    if not notes.findings:
        notes.ok("variables", "all complete and well-formed")
    _examine_secrets(notes, settings)
    _examine_address(notes, settings)
    _examine_choices(notes, settings)
    return notes, settings


def _examine_secrets(notes: Notes, settings: Settings) -> None:
    advice = "Make one with `python3 -c 'import secrets; print(secrets.token_urlsafe(48))'` and rotate it in."
    for name, values in (("SECRET", settings.secrets), ("KEY_PEPPER", settings.key_peppers.values())):
        for value in values:
            bits = _entropy(value)
            if bits < _LEAST_ENTROPY:
                notes.problem(
                    PREFIX + name, f"{len(value)} bytes, but only about {bits} bits to guess", advice
                )
            else:
                notes.ok(PREFIX + name, f"{len(value)} bytes")
    if set(settings.secrets) & set(settings.key_peppers.values()):
        notes.warning(
            f"{PREFIX}SECRET and {PREFIX}KEY_PEPPER",
            "the same value",
            "Give each its own: the pepper belongs to key_issuer alone.",
        )


def _entropy(value: bytes) -> int:
    size = len(value)
    return round(sum(-count * log2(count / size) for count in Counter(value).values()))


def _examine_address(notes: Notes, settings: Settings) -> None:
    host = urlsplit(settings.public_url).hostname or ""
    if settings.secure or host in _LOOPBACK:
        notes.ok(PREFIX + "PUBLIC_URL", settings.public_url)
    else:
        notes.warning(
            PREFIX + "PUBLIC_URL",
            f"{settings.public_url}: passwords, codes and keys cross the network in clear",
            "Serve it by https (LATCHKEY_DOMAIN, or a proxy of yours) and set the https address.",
        )


def _examine_choices(notes: Notes, settings: Settings) -> None:
    try:
        catalogue = load_permissions(settings.permissions_file)
    except (ValueError, OSError) as error:
        notes.problem(
            PREFIX + "PERMISSIONS_FILE", str(error), "Mend the file; shared/permissions.toml is an example."
        )
    else:
        notes.ok(PREFIX + "PERMISSIONS_FILE", f"{len(catalogue)} permissions")
    if not settings.throttle:
        notes.warning(
            PREFIX + "THROTTLE",
            "off: passwords and codes may be guessed without a limit",
            "Remove it after the load test.",
        )
    if settings.private_targets and settings.sign_up == "open":
        notes.warning(
            PREFIX + "PRIVATE_TARGETS",
            "on, and whoever signs up may register a client: strangers can have your inner hosts called",
            "Set LATCHKEY_SIGN_UP=closed, or send what goes out through a proxy that knows which hosts are meant.",
        )
    if settings.log_level == "debug":
        notes.warning(PREFIX + "LOG_LEVEL", "debug", "Set info; debug costs time and disk.")
