"""`/api/v1/keys`: the keys of the signed-in person."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import Field

from services.auth_api.authorize.client_file_flow import KeyFile, create_key_file
from services.auth_api.clients.validation import permission_errors
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.documents import KeyDocument, NewKeyDocument
from services.auth_api.handlers.retries import retry_of
from services.auth_api.handlers.signed_in import signed_in
from services.auth_api.keys.personal_keys import (
    ConsentWithdrawnError,
    NewKey,
    TooManyKeysError,
    change_key,
    create_key,
    list_page,
    revoke_key,
    rotate_key,
)
from shared.api_key import KID_LENGTH, derive_replacements
from shared.contracts.clients import OverlapSeconds
from shared.contracts.field_errors import FieldError
from shared.contracts.keys import ChangeKey, KeyChanged, KeyView
from shared.contracts.sessions import SessionUser
from shared.documents import Body, Texts, public_name
from shared.plain_text import is_visible
from shared.web.body import json_response, query_pairs, read_json, read_json_object, refused_fields, validated
from shared.web.edge import peer_of
from shared.web.failures import Problem

LONGEST_IDENTIFIER: Final = 80
LONGEST_LIFE: Final = 10 * 366 * 24 * 3600
LATEST: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8259 §6)."""

_KEY_ID: Final = re.compile(f"[0-9A-Za-z]{{{KID_LENGTH}}}", re.ASCII)

Identifier = Annotated[str, Field(min_length=1, max_length=LONGEST_IDENTIFIER)]


class NewPersonalKey(Body):
    """The body that makes a personal key."""

    identifier: Identifier
    permissions: Texts
    expires_in: Annotated[int, Field(ge=1, le=LONGEST_LIFE)] | None = None


class NewKeyFile(Body):
    """The body that makes what the Client File Flow makes."""

    client_id: str


class KeyChanges(Body):
    """The body of a change; what is absent stays."""

    identifier: Identifier = ""
    status: Literal["active", "paused"] = "active"
    permissions: Texts = Field(default=[])
    expires_on: Annotated[int, Field(ge=0, le=LATEST)] = 0


class Rotation(Body):
    """The body of a rotation."""

    overlap_seconds: OverlapSeconds = 0


async def list_own(request: web.Request) -> web.Response:
    """GET: 200 with a page of the person's keys, newest first, and where the next one is; never a key itself."""
    user = await signed_in(request)
    resources = request.app[RESOURCES]
    page = await list_page(resources, user.user_id, _cursor(request))
    if not page.found:
        raise _wrong_cursor("is that of no key of yours")
    headers = {}
    if page.more:
        address = f"{resources.settings.public_url}{request.path}?cursor={page.keys[-1].key_id}"
        headers["Link"] = f'<{address}>; rel="next"'  # RFC 8288 §3
    return json_response([_document(key) for key in page.keys], headers=headers)


async def create(request: web.Request) -> web.Response:
    """POST: 201 with a new key, shown this once; for a client also with its file."""
    user = await signed_in(request)
    resources = request.app[RESOURCES]
    given = await read_json_object(request)
    try:
        if "clientID" in given:
            new, file = await _for_client(request, user, validated(NewKeyFile, given))
        else:
            new, file = await _personal(request, user, validated(NewPersonalKey, given)), None
    except TooManyKeysError:
        most = resources.settings.keys_per_user
        raise Problem(409, f"You have {most} keys of your own, the most that one account may have.") from None
    except ConsentWithdrawnError:
        raise Problem(409, "This was taken back while the key was being made; there is no key.") from None
    return json_response(_new_document(new, file), 201, {"Pragma": "no-cache"})


async def change(request: web.Request) -> web.Response:
    """PATCH: 200 with the changed key; 400 for what would widen it, 409 where it has ended."""
    user = await signed_in(request)
    key_id = _key_id(request)
    body = await read_json(request, KeyChanges)
    given = body.model_dump(exclude_unset=True)
    errors = _identifier_errors(given.get("identifier"))
    if "permissions" in given:
        # What the catalogue has dropped may still be kept; the issuer refuses what the key does not hold.
        errors += permission_errors("permissions", body.permissions, set(body.permissions))
    if errors:
        raise refused_fields(errors)
    command = ChangeKey.model_validate({"key_id": key_id, "user_id": user.user_id, **given})
    return json_response(_document(_done(await change_key(request.app[RESOURCES], command))))


async def revoke(request: web.Request) -> web.Response:
    """DELETE: 204, also where the key had ended already; dead at every verifier within a second."""
    user = await signed_in(request)
    if not await revoke_key(request.app[RESOURCES], user.user_id, _key_id(request)):
        raise _unknown_key()
    return web.Response(status=204, headers={"Cache-Control": "no-store"})


async def rotate(request: web.Request) -> web.Response:
    """POST rotate: 200 with the new key, shown this once; the old one lives at most the overlap longer."""
    user = await signed_in(request)
    key_id = _key_id(request)
    body = await read_json(request, Rotation) if request.body_exists else Rotation()
    retry = retry_of(request)
    resources = request.app[RESOURCES]
    settings = resources.settings
    replacements = derive_replacements(
        settings.secret, settings.key_prefix, settings.public_url, key_id, retry
    )
    people = resources.limiter.people_at(peer_of(request, settings))
    await resources.limiter.take_of_person(user.user_id, people)
    view = _done(await rotate_key(resources, user.user_id, key_id, body.overlap_seconds, replacements))
    token = next(minted.token for minted in replacements if minted.key_id == view.key_id)
    return json_response(_new_document(NewKey(view, token)), 200, {"Pragma": "no-cache"})


def _document(key: KeyView) -> dict[str, Any]:
    return KeyDocument.of(key, from_api_client=key.client_id)


def _new_document(new: NewKey, file: KeyFile | None = None) -> dict[str, Any]:
    given = {} if file is None else {"file": asdict(file)}
    return NewKeyDocument.of(new.view, from_api_client=new.view.client_id, token=new.token, **given)


async def _personal(request: web.Request, user: SessionUser, body: NewPersonalKey) -> NewKey:
    resources = request.app[RESOURCES]
    errors = _identifier_errors(body.identifier)
    errors += permission_errors("permissions", body.permissions, resources.catalogue)
    if errors:
        raise refused_fields(errors)
    return await create_key(
        resources,
        user,
        peer=peer_of(request, resources.settings),
        identifier=body.identifier.strip(),
        permissions=tuple(body.permissions),
        expires_in=body.expires_in,
    )


async def _for_client(request: web.Request, user: SessionUser, body: NewKeyFile) -> tuple[NewKey, KeyFile]:
    resources = request.app[RESOURCES]
    peer = peer_of(request, resources.settings)
    made = await create_key_file(resources, user, body.client_id, peer=peer)
    if made is None:
        raise Problem(
            404,
            "There is no such client.",
            errors=[FieldError(field="clientID", detail="is no registered client")],
        )
    return made


def _identifier_errors(identifier: str | None) -> list[FieldError]:
    if identifier is None or is_visible(identifier):
        return []
    detail = "must be visible text without control or invisible characters"
    return [FieldError(field="identifier", detail=detail)]


def _key_id(request: web.Request) -> str:
    key_id = request.match_info["keyID"]
    if not _KEY_ID.fullmatch(key_id):
        raise _unknown_key()
    return key_id


def _cursor(request: web.Request) -> str:
    """After which key the page begins; empty for the first page."""
    given = [value for name, value in query_pairs(request) if name == "cursor"]
    if len(given) > 1:
        raise _wrong_cursor("is there twice")
    cursor = given[0] if given else ""
    if cursor and not _KEY_ID.fullmatch(cursor):
        raise _wrong_cursor("is that of no key of yours")
    return cursor


def _wrong_cursor(detail: str) -> Problem:
    return refused_fields([FieldError(field="cursor", detail=detail)])


def _unknown_key() -> Problem:
    return Problem(404, "You have no such key.")


def _done(changed: KeyChanged) -> KeyView:
    if changed.outcome == "not_found":
        raise _unknown_key()
    if changed.outcome == "conflict" or changed.key is None:
        field = public_name(changed.field or "status")
        detail = changed.detail or "cannot be changed like this"
        errors = [FieldError(field=field, detail=detail)]
        if field in ("permissions", "expiresOn"):
            raise refused_fields(errors)
        raise Problem(409, f"{field}: {detail}.", errors=errors)
    return changed.key
