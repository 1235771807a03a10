"""A person in front of the consent page, as consent_ui speaks for them over the bus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from services.consent_ui.authorization_query import without_secrets
from shared.api_key import USER_KEY, MintedKey, mint_key
from shared.contracts.authorization import (
    AuthorizationDecided,
    ConsentRequest,
    DecideAuthorization,
    Flow,
    MintedDigests,
    PrepareAuthorization,
    PreparedAuthorization,
)
from shared.secret_tokens import digest_of, random_base62
from shared.web.redirects import append_parameters
from tests.harness.site import Person
from tests.integration.oauth.conftest import Provider


def session_of(person: Person) -> str:
    """The digest of the person's session cookie."""
    return digest_of(person.http.cookies["latchkey_session"])


async def prepare(
    provider: Provider, person: Person | None, surface: Flow, *pairs: tuple[str, str]
) -> PreparedAuthorization:
    """The request as it arrives from a person's browser; ``None`` is signed out."""
    command = PrepareAuthorization(
        surface=surface,
        query=without_secrets(provider.resources.settings.secrets, surface, pairs),
        session=None if person is None else session_of(person),
        peer="192.0.2.1",
        request_id="request-of-a-test",
    )
    return await provider.pages.request(command)


async def shown(provider: Provider, person: Person, surface: Flow, *pairs: tuple[str, str]) -> ConsentRequest:
    """The consent page for a good request."""
    prepared = await prepare(provider, person, surface, *pairs)
    assert prepared.consent is not None, prepared
    return prepared.consent


@dataclass(frozen=True)
class Arrival:
    """Where a decision sends the browser, and with what."""

    location: str
    parameters: dict[str, str]

    @property
    def code(self) -> str:
        """The code, which must be there."""
        return self.parameters["code"]


async def decide(
    provider: Provider, person: Person, consent: ConsentRequest, **fields: Any
) -> AuthorizationDecided:
    """A press of Accept (or what ``fields`` say), told as it is."""
    command = DecideAuthorization(
        **{"request_id": consent.request_id, "session": session_of(person), "decision": "accept", **fields}
    )
    return await provider.pages.request(command)


async def accept(provider: Provider, person: Person, consent: ConsentRequest) -> Arrival:
    """Accept, and the redirect as consent_ui builds it."""
    code = random_base62(43)
    decided = await decide(provider, person, consent, code_digest=digest_of(code))
    assert decided.outcome == "redirect", decided
    assert decided.with_code
    return _arrival(decided, (("code", code), *decided.parameters))


async def decline(provider: Provider, person: Person, consent: ConsentRequest) -> Arrival:
    """Decline, and the redirect."""
    decided = await decide(provider, person, consent, decision="decline")
    assert decided.outcome == "redirect", decided
    assert not decided.with_code
    return _arrival(decided, decided.parameters)


async def create_file_key(
    provider: Provider, person: Person, consent: ConsentRequest
) -> tuple[AuthorizationDecided, MintedKey]:
    """A press of Create key; the key that the page minted for it."""
    settings = provider.resources.settings
    minted = mint_key(settings.key_prefix, USER_KEY, settings.public_url)
    key = MintedDigests(key_id=minted.key_id, digest=minted.digest)
    return await decide(provider, person, consent, key=key), minted


def parameters_of(location: str) -> dict[str, str]:
    """The query of a redirect, each parameter once."""
    pairs = parse_qsl(urlsplit(location).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs), location
    return dict(pairs)


def _arrival(decided: AuthorizationDecided, parameters: tuple[tuple[str, str], ...]) -> Arrival:
    assert decided.redirect_uri is not None
    location = append_parameters(decided.redirect_uri, parameters)
    return Arrival(location, parameters_of(location))
