"""Looks at the OpenID provider as auth_api needs it: discovery, keys, clock, and whether it knows our redirect address."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from deploy.doctor.findings import Notes
from services.auth_api.own_login.oidc_provider import OidcProvider, ProviderUnavailable
from services.auth_api.own_login.oidc_sign_in import CALLBACK
from services.auth_api.own_login.oidc_tokens import LEEWAY_SECONDS, can_verify
from shared.clock import Clock
from shared.settings import Settings
from shared.web.json_client import JsonClient, NoAnswer
from shared.web.redirects import append_parameters

_JSON: Final[Mapping[str, str]] = {"Accept": "application/json"}
_ANY_CHALLENGE: Final = "A" * 43


async def examine_provider(settings: Settings, clock: Clock) -> Notes:
    """The findings of the provider that is configured."""
    notes = Notes("openid provider")
    provider, http = OidcProvider(settings, clock), JsonClient()
    try:
        metadata = await provider.metadata()
    except ProviderUnavailable as error:
        notes.problem(
            "discovery",
            error.reason,
            "Compare LATCHKEY_OIDC_ISSUER, byte for byte, with `issuer` in what "
            f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration answers here; a private authority "
            "needs SSL_CERT_FILE, a proxy HTTPS_PROXY.",
        )
        for subject in ("keys", "clock", "redirect address"):
            notes.unknown(subject, "the provider could not be asked")
        return notes
    else:
        notes.ok("discovery", provider.issuer)
        await _examine_keys(notes, http, metadata, clock)
        await _examine_redirect(notes, http, metadata, settings)
        _examine_secret(notes, metadata, settings)
        return notes
    finally:
        await provider.close()
        await http.close()


async def _examine_keys(notes: Notes, http: JsonClient, metadata: Mapping[str, Any], clock: Clock) -> None:
    advice = "Look whether this machine reaches the provider's jwks_uri."
    try:
        status, document, headers = await http.ask("GET", metadata["jwks_uri"], _JSON)
    except NoAnswer as error:
        notes.problem("keys", str(error), advice)
        notes.unknown("clock", "the provider could not be asked")
        return
    keys = document.get("keys")
    listed = [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []
    good = sum(map(can_verify, listed))
    if status != HTTPStatus.OK:
        notes.problem("keys", f"answered {status}", advice)
    else:
        notes.judge(
            "keys",
            f"{good} that can be believed, of {len(listed)}",
            good=good > 0,
            advice="Have the provider sign with a key of its own (RS256, ES256, EdDSA …), not with the client secret.",
        )
    _examine_clock(notes, headers, clock)


def _examine_clock(notes: Notes, headers: Mapping[str, str], clock: Clock) -> None:
    try:
        there = parsedate_to_datetime(headers.get("Date", "")).timestamp() + int(headers.get("Age", "0"))
    except (ValueError, TypeError):
        notes.unknown("clock", "the provider does not tell the time")
        return
    skew = round(there - clock.now() / 1000)
    notes.judge(
        "clock",
        f"{skew:+d} s from here",
        good=abs(skew) < LEEWAY_SECONDS,
        advice="Let both machines follow NTP: its tokens seem to be past, or ahead of time.",
    )


async def _examine_redirect(
    notes: Notes, http: JsonClient, metadata: Mapping[str, Any], settings: Settings
) -> None:
    """Asks for a sign-in that may show no page: a provider that knows us answers with a redirect to our address."""
    redirect_uri = settings.public_url + CALLBACK
    address = append_parameters(
        metadata["authorization_endpoint"],
        [
            ("response_type", "code"),
            ("client_id", settings.oidc_client_id or ""),
            ("redirect_uri", redirect_uri),
            ("scope", settings.oidc_scopes),
            ("state", "doctor"),
            ("nonce", "doctor"),
            ("code_challenge", _ANY_CHALLENGE),
            ("code_challenge_method", "S256"),
            ("prompt", "none"),
        ],
    )
    try:
        status, _, headers = await http.ask("GET", address, {"Accept": "text/html"})
    except NoAnswer as error:
        notes.unknown("redirect address", str(error))
        return
    if headers.get("Location", "").startswith(f"{redirect_uri}?"):
        notes.ok("redirect address", f"{redirect_uri} is known there")
    elif HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        notes.problem(
            "redirect address",
            f"{redirect_uri} or the client id is not known there (answered {status})",
            "Register exactly this address at the provider, and compare LATCHKEY_OIDC_CLIENT_ID.",
        )
    else:
        notes.unknown(
            "redirect address",
            f"the provider does not tell; it must know {redirect_uri}",
            "Compare it there.",
        )


def _examine_secret(notes: Notes, metadata: Mapping[str, Any], settings: Settings) -> None:
    methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    if settings.oidc_client_secret is None and "none" not in methods:
        notes.warning(
            "client secret",
            "none is set, and the provider wants one",
            "Set LATCHKEY_OIDC_CLIENT_SECRET or LATCHKEY_OIDC_CLIENT_SECRET_FILE.",
        )
