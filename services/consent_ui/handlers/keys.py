"""One key of the person: its page, revoking it, and replacing it by a new one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from services.consent_ui.form_errors import NO_ERRORS, FormErrors
from services.consent_ui.forms import read_page_form
from services.consent_ui.moments import date_field
from services.consent_ui.pages import OVERLAPS, Visitor
from services.consent_ui.resources import RESOURCES
from services.consent_ui.session import ask, required_session
from shared.api_key import derive_replacements
from shared.contracts.access import OwnKeyChanged, ReadAccess, RevokeOwnKey, RotateOwnKey
from shared.contracts.authorization import MintedDigests
from shared.contracts.keys import KeyChanged, KeyView
from shared.contracts.sessions import PersonalCommand
from shared.web.failures import Problem
from shared.web.redirects import see_other

CHANGE_FORM: Final = "change-key"
REVOKE_FORM: Final = "revoke-key"
_KEY_ID: Final = re.compile(r"[0-9A-Za-z]{16}", re.ASCII)
_NOTICES: Final = {
    "paused": "The key is paused. It is refused everywhere until you resume it.",
    "resumed": "The key works again.",
    "narrowed": "The key may do less now.",
    "renamed": "The key has its new name.",
    "expires": "The key has its last day.",
}


@dataclass(frozen=True, slots=True)
class KeyPageView:
    """One key with everything that can be done to it; also the question before it is revoked."""

    key: KeyView
    app_name: str | None
    """Of the app that holds it, as its developer chose it."""
    errors: FormErrors = NO_ERRORS
    earliest: str = ""


@dataclass(frozen=True, slots=True)
class NewKeyView:
    """A key in clear, for this one answer."""

    title: str
    key: KeyView
    app_name: str | None
    """Of the app that it is for, as its developer chose it."""
    content: str = field(repr=False)
    filename: str | None = None
    """``None`` where there is no file, only text to copy."""
    old_key_note: str | None = None


async def show_key(request: web.Request) -> web.Response:
    """``GET /keys/{keyID}``."""
    return await key_page(request, notice=_NOTICES.get(request.query.get("done", "")))


async def key_page(
    request: web.Request, *, errors: FormErrors = NO_ERRORS, notice: str | None = None
) -> web.Response:
    """The page of the key in the path; with ``errors`` as the answer to a form that was refused."""
    resources = request.app[RESOURCES]
    visitor, key, app_name = await _find_key(request)
    view = KeyPageView(key, app_name, errors, date_field(resources.clock.now()))
    return resources.pages.respond(
        "key.html",
        view,
        visitor=visitor,
        form=f"{CHANGE_FORM} {key.key_id}",
        notice=notice,
        status=400 if errors.lines else 200,
    )


async def ask_revoke(request: web.Request) -> web.Response:
    """``GET /keys/{keyID}/revoke``: what breaks. Changes nothing."""
    visitor, key, app_name = await _find_key(request)
    view, form = KeyPageView(key, app_name), f"{REVOKE_FORM} {key.key_id}"
    return request.app[RESOURCES].pages.respond("key_revoke.html", view, visitor=visitor, form=form)


async def revoke(request: web.Request) -> web.Response:
    """``POST /keys/{keyID}/revoke``: dead at every verifier within a second."""
    form = await read_page_form(request, REVOKE_FORM, id_field="key_id")
    key_id = key_id_in(form.one("key_id"))
    await change_own_key(request, RevokeOwnKey(session=required_session(request), key_id=key_id))
    return see_other("/?done=revoked")


async def rotate(request: web.Request) -> web.Response:
    """``POST /keys/{keyID}/rotate``: the new key; the same form sent again within minutes shows the same one."""
    resources = request.app[RESOURCES]
    form = await read_page_form(request, CHANGE_FORM, id_field="key_id")
    overlap = form.overlap()
    settings, key_id = resources.settings, key_id_in(form.one("key_id"))
    first, *later = minted = derive_replacements(
        settings.secret, settings.key_prefix, settings.public_url, key_id, f"page {overlap}"
    )
    command = RotateOwnKey(
        session=required_session(request),
        key_id=key_id,
        overlap_seconds=overlap,
        new_key_id=first.key_id,
        new_digest=first.digest,
        later=tuple(MintedDigests(key_id=each.key_id, digest=each.digest) for each in later),
    )
    visitor, changed = await change_own_key(request, command)
    if changed.outcome == "conflict" or changed.key is None:
        if changed.field == "overlapSeconds":
            raise Problem(
                409, "You have as many keys as you may. Let the old one end at once, or revoke another first."
            )
        raise Problem(409, "This key has ended and cannot be replaced.")
    view = NewKeyView(
        "Your new key",
        changed.key,
        changed.key.identifier if changed.key.client_id else None,
        next(each.token for each in minted if each.key_id == changed.key.key_id),
        old_key_note=f"The old key ends {OVERLAPS[overlap]}. Put the new one in its place.",
    )
    return resources.pages.respond("new_key.html", view, visitor=visitor)


async def change_own_key(
    request: web.Request, command: PersonalCommand[OwnKeyChanged]
) -> tuple[Visitor, KeyChanged]:
    """What became of a key of the person.

    Raises:
        SignInNeeded: the session is over.
        Problem: 404, the person has no such key; 429, they change too many.
    """
    visitor, answer = await ask(request, command)
    if answer.changed is None or answer.changed.outcome == "not_found":
        raise _no_such_key()
    if answer.changed.retry_after is not None:
        headers = {"Retry-After": str(answer.changed.retry_after)}
        raise Problem(429, answer.changed.detail or "", headers=headers)
    return visitor, answer.changed


def key_id_in(text: str) -> str:
    """A key's public id.

    Raises:
        Problem: 404, no key can have this id.
    """
    if not _KEY_ID.fullmatch(text):
        raise _no_such_key()
    return text


def _no_such_key() -> Problem:
    """The 404 for a key that is unknown, somebody else's, or ended long ago: all the same."""
    return Problem(404, "You have no key with this id.")


async def _find_key(request: web.Request) -> tuple[Visitor, KeyView, str | None]:
    visitor, access = await ask(request, ReadAccess(session=required_session(request)))
    key_id = key_id_in(request.match_info["keyID"])
    key = next((key for key in access.keys if key.key_id == key_id), None)
    if key is None:
        raise _no_such_key()
    return visitor, key, access.app_name(key)
