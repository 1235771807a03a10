"""One key of the person: its page, revoking it, and replacing it by a new one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.consent_ui.access import list_access
from services.consent_ui.display_names import readable
from services.consent_ui.forms import read_page_form
from services.consent_ui.resources import RESOURCES, Resources
from services.consent_ui.session import signed_in
from services.consent_ui.views.clients import OVERLAPS
from services.consent_ui.views.form_errors import NO_ERRORS, FormErrors
from services.consent_ui.views.key_file import NewKeyView, rows_of
from services.consent_ui.views.keys import KeyLine, key_line
from services.consent_ui.views.moments import date_field
from services.consent_ui.views.permissions import permission_lines
from services.consent_ui.visitor import Visitor
from shared.api_key import USER_KEY, MintedKey, mint_key
from shared.contracts.keys import KeyView, RevokeKey, RotateKey
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
    """One key with everything that can be done to it."""

    key: KeyLine
    token: str
    errors: FormErrors
    earliest: str
    latest: str | None
    overlaps: tuple[tuple[int, str], ...] = OVERLAPS


@dataclass(frozen=True, slots=True)
class KeyRevokeView:
    """The question before a key is revoked."""

    key: KeyLine
    token: str


@signed_in
async def show_key(request: web.Request, visitor: Visitor) -> web.Response:
    """``GET /keys/{keyID}``."""
    notice = _NOTICES.get(request.query.get("done", ""))
    return await key_form_page(request, visitor, notice=notice)


async def key_form_page(
    request: web.Request, visitor: Visitor, *, errors: FormErrors = NO_ERRORS, notice: str | None = None
) -> web.Response:
    """The page of the key in the path; with ``errors`` as the answer to a form that was refused."""
    resources = request.app[RESOURCES]
    key, line = await _find_key(request, visitor)
    view = KeyPageView(
        key=line,
        token=resources.csrf.token(visitor.session, f"{CHANGE_FORM} {key.key_id}"),
        errors=errors,
        earliest=date_field(resources.clock.now()),
        latest=None if key.expires_on is None else date_field(key.expires_on),
    )
    status = 400 if errors.lines else 200
    return resources.pages.respond("key.html", view, visitor=visitor, notice=notice, status=status)


@signed_in
async def ask_revoke(request: web.Request, visitor: Visitor) -> web.Response:
    """``GET /keys/{keyID}/revoke``: what breaks. Changes nothing."""
    resources = request.app[RESOURCES]
    key, line = await _find_key(request, visitor)
    view = KeyRevokeView(line, resources.csrf.token(visitor.session, f"{REVOKE_FORM} {key.key_id}"))
    return resources.pages.respond("key_revoke.html", view, visitor=visitor)


@signed_in
async def revoke(request: web.Request, visitor: Visitor) -> web.Response:
    """``POST /keys/{keyID}/revoke``: dead at every verifier within a second."""
    form = await read_page_form(request, REVOKE_FORM, id_field="key_id")
    command = RevokeKey(
        key_id=key_id_in(form.one("key_id")), user_id=visitor.user.user_id, reason="revoked by its owner"
    )
    answer = await request.app[RESOURCES].bus.request(command)
    if not answer.found:
        raise no_such_key()
    return see_other("/?done=revoked")


@signed_in
async def rotate(request: web.Request, visitor: Visitor) -> web.Response:
    """``POST /keys/{keyID}/rotate``: the new key, minted here and shown in this one answer."""
    resources = request.app[RESOURCES]
    form = await read_page_form(request, CHANGE_FORM, id_field="key_id")
    overlaps = {str(seconds): (seconds, words) for seconds, words in OVERLAPS}
    if form.one("overlap") not in overlaps:
        raise Problem(400, "The form does not say when the old key ends.")
    seconds, words = overlaps[form.one("overlap")]
    minted = mint_key(resources.settings.key_prefix, USER_KEY, resources.settings.public_url)
    command = RotateKey(
        key_id=key_id_in(form.one("key_id")),
        user_id=visitor.user.user_id,
        overlap_seconds=seconds,
        new_key_id=minted.key_id,
        new_digest=minted.digest,
    )
    answer = await resources.bus.request(command)
    if answer.outcome == "not_found":
        raise no_such_key()
    if answer.outcome == "conflict" or answer.key is None:
        raise Problem(409, "This key has ended and cannot be replaced.")
    view = _rotated(resources, answer.key, minted, words)
    return resources.pages.respond("new_key.html", view, visitor=visitor)


def key_id_in(text: str) -> str:
    """A key's public id.

    Raises:
        Problem: 404, no key can have this id.
    """
    if not _KEY_ID.fullmatch(text):
        raise no_such_key()
    return text


def no_such_key() -> Problem:
    """The 404 for a key that is unknown, somebody else's, or ended long ago: all the same."""
    return Problem(404, "You have no key with this id.")


async def _find_key(request: web.Request, visitor: Visitor) -> tuple[KeyView, KeyLine]:
    resources = request.app[RESOURCES]
    key_id = key_id_in(request.match_info["keyID"])
    apps, keys = await list_access(resources, visitor)
    key = next((key for key in keys.keys if key.key_id == key_id), None)
    if key is None:
        raise no_such_key()
    return key, key_line(resources, key, {app.client_id: app.name for app in apps.apps})


def _rotated(resources: Resources, key: KeyView, minted: MintedKey, words: str) -> NewKeyView:
    return NewKeyView(
        title="Your new key",
        app_name=readable(key.identifier) if key.client_id else None,
        key_id=minted.key_id,
        content=minted.token,
        rows=rows_of(minted.token),
        filename=None,
        download=None,
        permissions=permission_lines(resources.catalogue, key.permissions),
        status_url=f"{resources.settings.public_url}/api/v1/status",
        old_key_note=f"The old key ends {words}. Put the new one in its place.",
    )
