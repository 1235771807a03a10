"""`/api/v1/external-users`: the site's server ends people by the ids that the site gives them."""

from __future__ import annotations

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from services.auth_api.accounts.identities import external_id_problem
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.service_caller import require_service_key
from services.auth_api.own_login.endings import MOST_IDS, Ended, end_external_people
from services.auth_api.own_login.service_keys import USERS
from shared.contracts.field_errors import FieldError
from shared.documents import Body, Document
from shared.errors import StoreUnavailable
from shared.web.body import json_response, query_pairs, read_json, refused_fields
from shared.web.edge import peer_of
from shared.web.failures import Problem

_ACTOR: Final = "service"
LONGEST_ISSUER: Final = 1_000
LARGEST_LIST: Final = 1_000_000
"""Bytes: as much as the proxy passes on, ten thousand ids of a hundred bytes."""


class EndedPeople(Body):
    """Whom to end: ids of one issuer, or of any."""

    external_ids: Annotated[list[str], Field(alias="externalIDs", min_length=1, max_length=MOST_IDS)]
    issuer: Annotated[str, Field(min_length=1, max_length=LONGEST_ISSUER)] | None = None


class EndedDocument(Document):
    """How many accounts are closed now, and the ids that nobody here has."""

    ended: int
    unknown: list[str]


async def end_one(request: web.Request) -> web.Response:
    """DELETE: 204 once everything of the person is dead, also again; 404 for an id that nobody here has."""
    await require_service_key(request, USERS)
    external_id = request.match_info["externalID"]
    if external_id_problem(external_id) is not None:
        raise _unknown()
    issuers = [value for name, value in query_pairs(request) if name == "issuer" and value]
    if len(issuers) > 1:
        raise refused_fields([FieldError(field="issuer", detail="is there twice")])
    ended = await _end(request, [external_id], issuers[0] if issuers else None)
    if ended.unknown:
        raise _unknown()
    return web.Response(status=204, headers={"Cache-Control": "no-store"})


async def end_many(request: web.Request) -> web.Response:
    """POST: 200 once everything of all these people is dead; ids that nobody here has are named."""
    await require_service_key(request, USERS)
    body = await read_json(request, EndedPeople, LARGEST_LIST)
    wrong = {place: external_id_problem(each) for place, each in enumerate(body.external_ids)}
    errors = [
        FieldError(field=f"externalIDs.{place}", detail=detail) for place, detail in wrong.items() if detail
    ]
    if errors:
        raise refused_fields(errors)
    ended = await _end(request, body.external_ids, body.issuer)
    return json_response(
        EndedDocument(ended=ended.people, unknown=list(ended.unknown)).model_dump(by_alias=True)
    )


async def _end(request: web.Request, external_ids: list[str], issuer: str | None) -> Ended:
    resources = request.app[RESOURCES]
    peer = peer_of(request, resources.settings)
    try:
        return await end_external_people(resources, external_ids, issuer, actor=_ACTOR, peer=peer)
    except* StoreUnavailable as group:
        raise group.exceptions[0] from None


def _unknown() -> Problem:
    return Problem(404, "Nobody here has this id.")
