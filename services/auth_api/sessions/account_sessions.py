"""The sessions of one person, as they see and end them.

Redis alone knows whether a session lives, and an account's list there is a help to find its sessions. From where somebody
signed in is kept in PostgreSQL: no address goes to Redis. Everything here raises ``StoreUnavailable`` where one of them
does not answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Final

from services.auth_api.accounts.service import Account
from services.auth_api.audit import count_act, count_act_within, own_act
from services.auth_api.resources import Resources
from services.auth_api.sessions.service import IDLE_SECONDS, LIFETIME_SECONDS, MOST_SESSIONS
from shared.contracts.sessions import SessionUser, SessionView
from shared.secret_tokens import keyed_digest

SESSION_DAYS: Final = LIFETIME_SECONDS // 86_400
LONGEST_AGENT: Final = 120
"""Characters that are kept of what a browser says of itself."""
_ID_LENGTH: Final = 32


async def keep_origin(
    resources: Resources, account: Account, session: str, peer: str, user_agent: str
) -> None:
    """Keeps for the person's list from where a new session (its digest) was begun, in the browser's own words."""
    agent = "".join(filter(str.isprintable, user_agent[:LONGEST_AGENT])) or None
    public, now = public_id(resources, session), resources.clock.now()
    await resources.database.execute(
        "keep_session_origin", public, account.user_id, now, peer, agent, MOST_SESSIONS
    )


async def list_sessions(resources: Resources, user_id: int, current: str) -> tuple[SessionView, ...]:
    """The live sessions of a person, the ``current`` one (the digest of its cookie) first, then the newest."""
    redis, database = resources.bus.redis, resources.database
    # One of the release before may be on no list; the asking one lives all the same.
    digests = list(dict.fromkeys([*await _listed(resources, user_id), current]))
    account, rows, *found = await asyncio.gather(
        database.fetchrow("find_user", user_id),
        database.fetch("list_session_origins", user_id),
        *(redis.execute("GET", _name(digest)) for digest in digests),
        *(redis.execute("TTL", _name(digest)) for digest in digests),
    )
    origins = {row["session_id"]: (row["peer"], row["user_agent"]) for row in rows}
    views = []
    for digest, value, left in zip(digests, found[: len(digests)], found[len(digests) :], strict=True):
        record = None if value is None else tuple(map(int, value.split(b":")))
        if record is None or account is None or record[:2] != (user_id, account["session_epoch"]):
            continue
        public = public_id(resources, digest)
        peer, user_agent = origins.get(public, (None, None))
        is_current = digest == current
        now = resources.clock.now()
        views.append(
            SessionView(
                session_id=public,
                created_on=record[2],
                last_seen_on=now if is_current else _last_visit(now, record[2], int(left)),
                peer=peer,
                user_agent=user_agent,
                current=is_current,
            )
        )
    return tuple(sorted(views, key=lambda view: (not view.current, -view.created_on)))


async def end_own_session(resources: Resources, user_id: int, session_id: str, peer: str | None) -> bool:
    """Ends one session of a person by its public id; whether there was one."""
    redis = resources.bus.redis
    for digest in await _listed(resources, user_id):
        if public_id(resources, digest) == session_id:
            was_there = bool(await redis.execute("DEL", _name(digest)))
            await redis.execute("LREM", _list_name(user_id), 1, digest)
            if was_there:
                await count_act(resources, own_act(user_id, "session.ended", peer))
            return was_there
    return False


async def end_other_sessions(resources: Resources, user: SessionUser, current: str, peer: str | None) -> None:
    """Ends every session of a person but the ``current`` one: dead when this returns, also those that no list names.

    Where this fails half-way the current one is over too, and the person signs in again.
    """
    redis, database = resources.bus.redis, resources.database
    value = await redis.execute("GET", _name(current))
    if value is None:
        return
    _, epoch, begun_on = map(int, value.split(b":"))
    async with database.transaction() as connection:
        # Of the epoch that was read: a session that another change has ended meanwhile is not brought back to life.
        query = database.sql["end_sessions"]
        new_epoch = await connection.fetchval(query, user.user_id, epoch)
        if new_epoch is None:
            return
        await count_act_within(resources, connection, own_act(user.user_id, "sessions.ended", peer))
    await redis.execute("SET", _name(current), f"{user.user_id}:{new_epoch}:{begun_on}", "XX", "KEEPTTL")
    # The others are dead by their epoch; here they also leave Redis.
    others = [digest for digest in await _listed(resources, user.user_id) if digest != current]
    await asyncio.gather(*(redis.execute("DEL", _name(digest)) for digest in others))
    await asyncio.gather(*(redis.execute("LREM", _list_name(user.user_id), 1, digest) for digest in others))


def network_of(peer: str | None) -> str | None:
    """The neighbourhood of an address as pages show it, ``203.0.113.*``: over the bus no whole address goes."""
    try:
        network = ipaddress.ip_network(peer or "", strict=False)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv4Network):
        return str(network.network_address).rpartition(".")[0] + ".*"
    return f"{network.supernet(new_prefix=48).network_address}*"


def public_id(resources: Resources, digest: str) -> str:
    """What a session is called outside: neither the cookie nor its digest, which acts for the person on the bus."""
    return keyed_digest(resources.settings.secret, "session id", digest)[:_ID_LENGTH]


def _last_visit(now: int, begun_on: int, seconds_left: int) -> int:
    """A visit moves the idle end, at most every twelve hours: what is missing of it is how long ago the last one was."""
    whole = min(IDLE_SECONDS, LIFETIME_SECONDS - (now - begun_on) // 1000)
    return max(begun_on, now - max(0, whole - seconds_left) * 1000)


async def _listed(resources: Resources, user_id: int) -> list[str]:
    """The digests of an account's sessions, oldest first; some may have ended."""
    listed = await resources.bus.redis.execute("LRANGE", _list_name(user_id), 0, -1)
    return [digest.decode() for digest in listed]


def _name(digest: str) -> str:
    return f"lk:session:{digest}"


def _list_name(user_id: int) -> str:
    return f"lk:sessions:{user_id}"
