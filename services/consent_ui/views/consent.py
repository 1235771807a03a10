"""What the pages show on which a person decides: consent, the file flow, a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.contracts.authorization import MOST_COUNTED, ConsentRequest

DECIDE_FORM: Final = "decide"
SWITCH_FORM: Final = "switch"


@dataclass(frozen=True, slots=True)
class ConsentView:
    """A request as the person is asked about it."""

    consent: ConsentRequest
    action: str
    """Where the form goes."""
    return_to: str
    """The page's own address, signed: where a form goes on that was shown to another session."""
    switch_target: str
    """The page's own address, where a person goes on who switches the account."""
    switch_token: str

    @property
    def new(self) -> tuple[str, ...]:
        """What the app asks for beyond what the person has allowed it before."""
        return () if self.consent.first_time else self.consent.new_permissions

    @property
    def people(self) -> str | None:
        """How many have connected the app, as a sentence."""
        count = self.consent.people
        if count is None:
            return None
        if count == 0:
            return "Nobody on this site has connected it yet."
        if count == 1:
            return "1 person on this site has connected it."
        return f"{count:,}{'+' if count >= MOST_COUNTED else ''} people on this site have connected it."
