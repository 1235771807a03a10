"""``POST /oauth/decide``: Accept and Decline of the consent page."""

from __future__ import annotations

from aiohttp import web

from services.consent_ui.handlers.deciding import answer_decision, decide, read_decision
from shared.secret_tokens import digest_of, random_base62

_CODE_LENGTH = 43
"""256 bits in base62; the code's digest is all that leaves this process inwards."""


async def decide_request(request: web.Request) -> web.Response:
    """Back to the app, with a one-time code minted here or with ``access_denied`` (RFC 6749 §4.1.2)."""
    form, decision = await read_decision(request, yes="accept")
    if decision == "decline":
        return answer_decision(request, await decide(request, form, decision))
    code = random_base62(_CODE_LENGTH)
    decided = await decide(request, form, decision, code_digest=digest_of(code))
    return answer_decision(request, decided, code)
