"""What the pages show on which a person decides: consent, the file flow, a device."""

from __future__ import annotations

from dataclasses import dataclass

from services.consent_ui.redirect_target import RedirectTarget, describe_redirect
from services.consent_ui.resources import Resources
from services.consent_ui.views.permissions import PermissionGroup, permission_groups
from services.consent_ui.visitor import Visitor
from shared.contracts.authorization import MOST_COUNTED, ConsentRequest
from shared.return_to import sign_target

DECIDE_FORM = "decide"
SWITCH_FORM = "switch"


@dataclass(frozen=True, slots=True)
class ConsentView:
    """A request as the person is asked about it."""

    consent: ConsentRequest
    groups: tuple[PermissionGroup, ...]
    people: str | None
    """How many have connected the app, as a sentence."""
    target: RedirectTarget | None
    action: str
    """Where the form goes."""
    return_to: str
    """The page's own address, signed: where a form goes on that was shown to another session."""
    switch_target: str
    switch_token: str

    @property
    def has_new(self) -> bool:
        """Whether the app asks for more than the person has allowed it before."""
        return bool(self.consent.new_permissions) and not self.consent.first_time


def consent_view(
    resources: Resources, visitor: Visitor, consent: ConsentRequest, action: str, target: str
) -> ConsentView:
    """The view of a prepared request; ``target`` is the page's own path and query."""
    new = () if consent.first_time else consent.new_permissions
    return ConsentView(
        consent=consent,
        groups=permission_groups(resources.catalogue, consent.permissions, new),
        people=None if consent.people is None else _people(consent.people),
        target=None if consent.redirect_uri is None else describe_redirect(consent.redirect_uri),
        action=action,
        return_to=sign_target(resources.settings.secrets, target),
        switch_target=target,
        switch_token=resources.csrf.token(visitor.session, f"{SWITCH_FORM} {target}"),
    )


def _people(count: int) -> str:
    if count == 0:
        return "Nobody on this site has connected it yet."
    if count == 1:
        return "1 person on this site has connected it."
    return f"{count:,}{'+' if count >= MOST_COUNTED else ''} people on this site have connected it."
