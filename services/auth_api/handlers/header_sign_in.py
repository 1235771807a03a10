"""`/login/site/header`: a session for the person whom the site's proxy names in its header."""

from __future__ import annotations

from aiohttp import web

from services.auth_api.accounts.identities import (
    SITE,
    AccountDisabledError,
    Identity,
    Introduction,
    account_of,
)
from services.auth_api.audit import count_act, own_act
from services.auth_api.handlers.application import RESOURCES
from services.auth_api.handlers.arrivals import DISABLED, not_signed_in
from services.auth_api.handlers.session import hand_session
from shared.web.body import query_pairs
from shared.web.edge import peer_of
from shared.web.failures import Problem
from shared.web.redirects import HOME, read_target, see_other
from shared.web.user_header import named_person


async def sign_in_by_header(request: web.Request) -> web.Response:
    """GET: 303 to where the person was going, with a session that lives only while the header names them."""
    resources = request.app[RESOURCES]
    settings = resources.settings
    person = named_person(request, settings)
    if person is None:
        raise Problem(404, "There is no such page.")
    try:
        account = await account_of(resources, Identity(SITE, person), Introduction(person))
    except AccountDisabledError:
        return await not_signed_in(request, "account disabled", DISABLED)
    await count_act(resources, own_act(account.user_id, "session.started", peer_of(request, settings)))
    given = dict(query_pairs(request)).get("continue", "")
    response = see_other(read_target(settings.secrets, given) or HOME)
    await hand_session(request, response, account, person)
    return response
