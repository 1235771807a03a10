"""The whole examination, its parts at the same time; every part answers in seconds, also when everything is down."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from deploy.doctor.configuration import NEEDED, examine_configuration
from deploy.doctor.findings import Finding, Notes
from deploy.doctor.postgres_store import examine_postgres
from deploy.doctor.redis_store import examine_redis
from deploy.schemas import SCHEMAS
from deploy.service_table import NEEDS
from shared.clock import SystemClock
from shared.settings import Settings

_PART_SECONDS: Final = 20.0


async def examine(environ: Mapping[str, str], service: str | None = None) -> list[Finding]:
    """Everything that can be looked at with this environment, in a fixed order. Changes nothing.

    Args:
        environ: the configuration.
        service: ``auth-api``, ``consent-ui`` or ``key-issuer`` to look at what that one needs, and no more.
    """
    need = NEEDED if service is None else NEEDS[service]
    configuration, settings = examine_configuration(environ, need)
    schemas = [schema for schema in SCHEMAS if f"{schema.service}_database_url" in need]
    async with asyncio.TaskGroup() as parts:
        stores = parts.create_task(_redis(settings.redis_url))
        provider = parts.create_task(_provider(settings, need))
        outgoing = parts.create_task(_outgoing(settings, need))
        bases = [parts.create_task(examine_postgres(schema, schema.url(settings))) for schema in schemas]
    notes = [configuration, *(part.result() for part in bases), *stores.result()]
    notes += [*provider.result(), *outgoing.result()]
    return [finding for area in notes for finding in area.findings]


async def _provider(settings: Settings, need: frozenset[str]) -> list[Notes]:
    """Of auth_api, which alone asks the provider."""
    if settings.oidc_issuer is None or "auth_api_database_url" not in need:
        return []
    from deploy.doctor.openid_provider import examine_provider  # the only part that asks over HTTP

    return [await examine_provider(settings, SystemClock())]


async def _outgoing(settings: Settings, need: frozenset[str]) -> list[Notes]:
    """Of auth_api, which sends webhooks, and key_issuer, which asks the leak partner."""
    from deploy.doctor.outgoing import AREA, examine_leak_partner, examine_proxy, examine_webhooks

    notes = Notes(AREA)
    if "auth_api_database_url" in need and settings.auth_api_database_url:
        await examine_webhooks(notes, settings.auth_api_database_url, SystemClock().now())
    calls = bool(need & {"auth_api_database_url", "key_issuer_database_url"})
    if calls and settings.outgoing_proxy is not None:
        await examine_proxy(notes, settings.outgoing_proxy)
    if "key_issuer_database_url" in need and settings.leak_partner_keys is not None:
        await examine_leak_partner(notes, settings)
    return [notes]


async def _redis(url: str) -> list[Notes]:
    try:
        async with asyncio.timeout(_PART_SECONDS):
            return await examine_redis(url, SystemClock().now())
    except Exception as error:  # noqa: BLE001 - whatever is wrong with Redis is a finding
        notes = Notes("redis")
        notes.problem("server", f"{type(error).__name__}: {error}", "See Redis's log, then run this again.")
        return [notes]
