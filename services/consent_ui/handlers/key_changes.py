"""Turning a key down: pause, resume, narrow, rename, end sooner. Each is a small form of the key's page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from services.consent_ui.form_errors import FormError, FormErrors
from services.consent_ui.forms import WRONG_NAME, PageForm, is_key_name, read_page_form
from services.consent_ui.handlers.keys import CHANGE_FORM, change_own_key, key_id_in, key_page
from services.consent_ui.moments import end_of_day
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import PageHandler, required_session
from shared.contracts.access import ChangeOwnKey
from shared.web.redirects import see_other

_CONTROLS: Final = {
    "identifier": "identifier",
    "permissions": "permissions",
    "expiresOn": "expires_on",
    "expires_on": "expires_on",
}

Change = dict[str, Any] | FormError
"""The changed fields of ``ChangeOwnKey``, or what is wrong with what was typed."""


def change(read: Callable[[PageForm, int], Change], done: str) -> PageHandler:
    """The handler of ``POST /keys/{keyID}/…``; ``read`` takes the form and the time now."""

    async def handler(request: web.Request) -> web.StreamResponse:
        form = await read_page_form(request, CHANGE_FORM, id_field="key_id")
        key_id = key_id_in(form.one("key_id"))
        fields = read(form, request.app[RESOURCES].clock.now())
        if isinstance(fields, FormError):
            return await key_page(request, errors=FormErrors((fields,)))
        command = ChangeOwnKey(session=required_session(request), key_id=key_id, **fields)
        _, changed = await change_own_key(request, command)
        if changed.outcome == "conflict":
            control = _CONTROLS.get(changed.field or "", "")
            error = FormError(control, f"This cannot be: {changed.detail or 'the key has changed'}.")
            return await key_page(request, errors=FormErrors((error,)))
        return see_other(f"/keys/{key_id}?done={done}")

    return handler


def _pause(_form: PageForm, _now: int) -> Change:
    return {"status": "paused"}


def _resume(_form: PageForm, _now: int) -> Change:
    return {"status": "active"}


def _narrow(form: PageForm, _now: int) -> Change:
    kept = form.many("permissions")
    if not kept:
        return FormError("permissions", "Keep at least one permission, or revoke the key.")
    return {"permissions": kept}


def _rename(form: PageForm, _now: int) -> Change:
    name = form.one("identifier")
    if not is_key_name(name):
        return FormError("identifier", WRONG_NAME)
    return {"identifier": name}


def _expire(form: PageForm, now: int) -> Change:
    expires_on = end_of_day(form.one("expires_on"))
    if expires_on is None:
        return FormError("expires_on", "Enter a day, like 2027-01-31.")
    if expires_on <= now:
        return FormError("expires_on", "This day has passed. To end the key now, revoke it.")
    return {"expires_on": expires_on}


pause: Final = change(_pause, "paused")
resume: Final = change(_resume, "resumed")
narrow: Final = change(_narrow, "narrowed")
rename: Final = change(_rename, "renamed")
expire: Final = change(_expire, "expires")
