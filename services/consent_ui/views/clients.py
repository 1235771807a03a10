"""The author's console: registered clients, the form that describes one, its secret once, its last attempts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from services.consent_ui.display_names import initial, readable
from services.consent_ui.forms import PageForm
from services.consent_ui.resources import Resources
from services.consent_ui.views.attempts import AttemptLine, OldSecret, attempt_lines, old_secret_of
from services.consent_ui.views.form_errors import NO_ERRORS, FormErrors
from services.consent_ui.views.moments import Moment, day_of
from services.consent_ui.views.permissions import PermissionLine, permission_lines
from services.consent_ui.views.snippets import Snippet, exchange_snippets
from shared.contracts.clients import Attempt, ClientFields, ClientTexts, ClientView

OVERLAPS: Final = (
    (0, "at once"),
    (3600, "after one hour"),
    (86_400, "after one day"),
    (604_800, "after seven days"),
)
"""How long an old secret or key may go on working, in seconds."""


@dataclass(frozen=True, slots=True)
class ClientLine:
    """One client of the author's list."""

    client_id: str
    name: str
    initial: str
    created: Moment
    permissions: tuple[PermissionLine, ...]


@dataclass(frozen=True, slots=True)
class ClientListView:
    """The clients that the person registered."""

    clients: tuple[ClientLine, ...]


@dataclass(frozen=True, slots=True)
class ClientFormView:
    """The form that registers or edits a client, with what was typed."""

    fields: ClientFields
    choices: tuple[PermissionLine, ...]
    token: str
    errors: FormErrors = NO_ERRORS
    client_id: str | None = None
    """``None`` while the client is new; then permissions and kind can still be chosen."""


@dataclass(frozen=True, slots=True)
class ClientPageView:
    """One client, to its author."""

    client: ClientView
    name: str
    created: Moment
    permissions: tuple[PermissionLine, ...]
    consent_link: str | None
    """Where the author sends people; ``None`` for a client without a redirect address."""
    file_link: str
    snippets: tuple[Snippet, ...]
    reset_token: str
    attempts: tuple[AttemptLine, ...] | None
    """``None`` where they cannot be read right now."""
    refusals_only: bool = False
    """Whether those that went well are left out."""
    old_secret: OldSecret | None = None
    overlaps: tuple[tuple[int, str], ...] = OVERLAPS


@dataclass(frozen=True, slots=True)
class ClientSecretView:
    """A client's new secret, for this one answer."""

    client: ClientView
    name: str
    secret: str | None = field(repr=False)
    """``None`` for a public client, which has none."""
    is_new: bool
    overlap: str
    consent_link: str | None
    file_link: str
    snippets: tuple[Snippet, ...]


@dataclass(frozen=True, slots=True)
class ClientDeleteView:
    """The question before a client is deleted."""

    client_id: str
    name: str
    token: str


def client_list_view(resources: Resources, clients: Iterable[ClientView]) -> ClientListView:
    """The author's list, as auth_api orders it (newest first)."""
    return ClientListView(tuple(_line(resources, client) for client in clients))


def client_page_view(
    resources: Resources,
    client: ClientView,
    reset_token: str,
    attempts: Sequence[Attempt] | None,
    *,
    refusals_only: bool,
) -> ClientPageView:
    """The page of one client."""
    return ClientPageView(
        client=client,
        name=readable(client.name),
        created=day_of(client.created_on),
        permissions=permission_lines(resources.catalogue, client.requested_permissions),
        consent_link=consent_link(resources, client),
        file_link=file_link(resources, client),
        snippets=exchange_snippets(client, f"{resources.settings.public_url}/api/v1/oauth/token"),
        reset_token=reset_token,
        attempts=None if attempts is None else attempt_lines(attempts, refusals_only=refusals_only),
        refusals_only=refusals_only,
        old_secret=old_secret_of(client, attempts or (), resources.clock.now()),
    )


def client_secret_view(
    resources: Resources, client: ClientView, secret: str | None, *, is_new: bool, overlap_seconds: int = 0
) -> ClientSecretView:
    """The page that shows a new secret."""
    return ClientSecretView(
        client=client,
        name=readable(client.name),
        secret=secret,
        is_new=is_new,
        overlap=dict(OVERLAPS)[overlap_seconds],
        consent_link=consent_link(resources, client),
        file_link=file_link(resources, client),
        snippets=exchange_snippets(client, f"{resources.settings.public_url}/api/v1/oauth/token"),
    )


def consent_link(resources: Resources, client: ClientView) -> str | None:
    """The link that an integrator shows to people: the seed's, or with PKCE, which a public client must use."""
    if not client.redirect_uris:
        return None
    site, client_id = resources.settings.public_url, quote(client.client_id, safe="")
    if not client.public:
        return f"{site}/oauth/request-auth?clientID={client_id}"
    pkce = "code_challenge=CHALLENGE&code_challenge_method=S256"
    return f"{site}/oauth/authorize?response_type=code&client_id={client_id}&{pkce}"


def file_link(resources: Resources, client: ClientView) -> str:
    """The link of the Client File Flow."""
    return f"{resources.settings.public_url}/client-file-flow/{quote(client.client_id, safe='')}"


def fields_from(form: PageForm) -> ClientFields:
    """What an author typed, not yet checked; an input that was left empty is no value.

    Raises:
        Problem: 400, a field was sent twice.
    """
    texts = {name: form.optional(name) for name in ClientTexts.model_fields}
    texts["api_key_format"] = form.text("api_key_format") or None
    return ClientFields(
        redirect_uris=form.lines("redirect_uris"),
        requested_permissions=form.many("requested_permissions"),
        public=form.one("client_type") == "public",
        **texts,
    )


def _line(resources: Resources, client: ClientView) -> ClientLine:
    name = readable(client.name)
    return ClientLine(
        client.client_id,
        name,
        initial(name),
        day_of(client.created_on),
        permission_lines(resources.catalogue, client.requested_permissions),
    )
