"""What the pages show on which a person decides: consent, the file flow, a device."""

from __future__ import annotations

from dataclasses import dataclass

from services.consent_ui.redirect_target import RedirectTarget, describe_redirect
from services.consent_ui.resources import Resources
from services.consent_ui.views.apps import AppView, app_view
from services.consent_ui.views.moments import Moment, time_of
from services.consent_ui.views.permissions import PermissionGroup, permission_groups
from services.consent_ui.visitor import Visitor
from shared.contracts.authorization import MOST_COUNTED, ConsentRequest
from shared.return_to import sign_target

DECIDE_FORM = "decide"
SWITCH_FORM = "switch"


@dataclass(frozen=True, slots=True)
class ConsentView:
    """A request as the person is asked about it."""

    app: AppView
    groups: tuple[PermissionGroup, ...]
    first_time: bool
    has_new: bool
    people: str | None
    """How many have connected the app, as a sentence."""
    username: str
    initial: str
    target: RedirectTarget | None
    user_code: str | None
    filename: str | None
    expires: Moment
    action: str
    """Where the form goes."""
    request_id: str
    token: str
    return_to: str
    """The page's own address, signed: where a form goes on that was shown to another session."""
    switch_target: str
    switch_token: str


def consent_view(
    resources: Resources, visitor: Visitor, consent: ConsentRequest, action: str, target: str
) -> ConsentView:
    """The view of a prepared request; ``target`` is the page's own path and query."""
    tokens = resources.csrf
    return ConsentView(
        app=app_view(consent.client, resources.settings.site_name, resources.clock.now()),
        groups=permission_groups(
            resources.catalogue, consent.permissions, () if consent.first_time else consent.new_permissions
        ),
        first_time=consent.first_time,
        has_new=bool(consent.new_permissions) and not consent.first_time,
        people=None if consent.people is None else _people(consent.people),
        username=visitor.user.username,
        initial=visitor.user.username[:1].upper(),
        target=None if consent.redirect_uri is None else describe_redirect(consent.redirect_uri),
        user_code=consent.user_code,
        filename=consent.client.api_key_filename,
        expires=time_of(consent.expires_on),
        action=action,
        request_id=consent.request_id,
        token=tokens.token(visitor.session, f"{DECIDE_FORM} {consent.request_id}"),
        return_to=sign_target(resources.settings.secrets, target),
        switch_target=target,
        switch_token=tokens.token(visitor.session, f"{SWITCH_FORM} {target}"),
    )


def _people(count: int) -> str:
    if count == 0:
        return "Nobody on this site has connected it yet."
    if count == 1:
        return "1 person on this site has connected it."
    return f"{count:,}{'+' if count >= MOST_COUNTED else ''} people on this site have connected it."
