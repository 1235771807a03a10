"""What the way through two services costs without the protocol: a code goes to key_issuer and back, and nothing is checked.

``python -m tests.benchmarks.floor PORT``, with the environment of auth_api: the bare handler, which then spends the code with
the script of an exchange and waits for the key's commit, over the bus. No client is authenticated, no limit, binding or error
is looked at, nothing is logged. What an exchange takes beyond this is the protocol; what this takes is what the design costs:
one order on a Redis stream, one transaction, one reply.
"""

from __future__ import annotations

import sys
from typing import Final

import uvloop
from aiohttp import web

from services.auth_api.codes.store import CodeStore, RedeemAttempt
from shared.api_key import USER_KEY, mint_key
from shared.bus import Bus
from shared.contracts.keys import OrderKey
from shared.secret_tokens import digest_of
from shared.settings import load_settings
from tests.benchmarks import bare

SECONDS: Final = 2.5


async def serve(port: int) -> None:
    """Serves until it is killed."""
    settings = load_settings()
    bus = Bus(settings.redis_url, source="auth_api")
    codes = CodeStore(bus)

    async def token(request: web.Request) -> web.Response:
        answer = await bare.token(request)
        digest = digest_of(str((await request.post())["code"]))
        minted = mint_key(settings.key_prefix, USER_KEY, settings.public_url)
        order = OrderKey(
            key_id=minted.key_id,
            digest=minted.digest,
            code_digest=digest,
            identifier="a program",
            origin="code",
        )
        prepared = bus.prepare(order, SECONDS)
        deadline = bus.time.now() + int(SECONDS * 1000)
        found = await codes.redeem(
            RedeemAttempt(digest, minted.key_id, prepared.message_id, deadline),
            {"state": ""},
            failures_key=f"{prepared.stream}:nobody",
            paid_off_by=0,
            stream=prepared.stream,
            fields=prepared.fields,
        )
        if found.outcome != "spent" or (await prepared.reply()).outcome != "issued":
            return web.Response(status=400)
        return answer

    await bus.start()
    await bare.serve(port, "/api/v1/oauth/token", token)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
