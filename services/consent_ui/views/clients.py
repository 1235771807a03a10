"""The author's console: registered clients, the form that describes one, its secret once, its last attempts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.consent_ui.forms import PageForm
from services.consent_ui.resources import Resources
from services.consent_ui.views.form_errors import NO_ERRORS, FormErrors
from shared.contracts.clients import OVERLAP_USED, Attempt, ClientFields, ClientTexts, ClientView
from shared.permissions import Permission

OVERLAPS: Final = (
    (0, "at once"),
    (3600, "after one hour"),
    (86_400, "after one day"),
    (604_800, "after seven days"),
)
"""How long an old secret or key may go on working, in seconds."""


@dataclass(frozen=True, slots=True)
class ClientListView:
    """The clients that the person registered, as auth_api orders them (newest first)."""

    clients: tuple[ClientView, ...]


@dataclass(frozen=True, slots=True)
class ClientFormView:
    """The form that registers or edits a client, with what was typed."""

    fields: ClientFields
    choices: tuple[Permission, ...]
    token: str
    errors: FormErrors = NO_ERRORS
    client_id: str | None = None
    """``None`` while the client is new; then permissions and kind can still be chosen."""


@dataclass(frozen=True, slots=True)
class ClientPageView:
    """One client, to its author."""

    client: ClientView
    reset_token: str
    attempts: Sequence[Attempt] | None
    """Newest first; ``None`` where they cannot be read right now."""
    refusals_only: bool = False
    """Whether those that went well are left out."""
    has_old_secret: bool = False
    """Whether the secret before the last reset still works."""
    old_secret_used_on: int | None = None
    """``None`` where none of the last attempts was made with it."""
    overlaps: tuple[tuple[int, str], ...] = OVERLAPS


@dataclass(frozen=True, slots=True)
class ClientSecretView:
    """A client's new secret, for this one answer."""

    client: ClientView
    secret: str | None = field(repr=False)
    """``None`` for a public client, which has none."""
    is_new: bool
    overlap: str


@dataclass(frozen=True, slots=True)
class ClientDeleteView:
    """The question before a client is deleted."""

    client_id: str
    name: str
    token: str


def client_list_view(_resources: Resources, clients: Iterable[ClientView]) -> ClientListView:
    """The author's list."""
    return ClientListView(tuple(clients))


def client_page_view(
    resources: Resources,
    client: ClientView,
    reset_token: str,
    attempts: Sequence[Attempt] | None,
    *,
    refusals_only: bool,
) -> ClientPageView:
    """The page of one client."""
    shown = attempts
    if attempts is not None and refusals_only:
        shown = [attempt for attempt in attempts if attempt.result == "refused"]
    return ClientPageView(
        client=client,
        reset_token=reset_token,
        attempts=shown,
        refusals_only=refusals_only,
        has_old_secret=(client.old_secret_until or 0) > resources.clock.now(),
        old_secret_used_on=max(
            (attempt.on for attempt in attempts or () if attempt.cause == OVERLAP_USED), default=None
        ),
    )


def client_secret_view(
    _resources: Resources, client: ClientView, secret: str | None, *, is_new: bool, overlap_seconds: int = 0
) -> ClientSecretView:
    """The page that shows a new secret."""
    return ClientSecretView(client, secret, is_new, dict(OVERLAPS)[overlap_seconds])


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
