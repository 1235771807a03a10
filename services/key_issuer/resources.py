"""What key_issuer stands on, made once by the composition root: stores, the keys' use cases, and what checks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from services.key_issuer.client_authentication import ClientAuthenticator
from services.key_issuer.db.repository import PLANS, QUERIES, SCHEMA
from services.key_issuer.issuer import Issuer
from services.key_issuer.key_reader import KeyReader
from services.key_issuer.last_use import LastUse
from services.key_issuer.leak_partner import LeakPartner, reader_of
from services.key_issuer.listeners import Listeners
from services.key_issuer.revocation_tail import RevocationTail
from services.key_issuer.verification import IssuerMetrics, KeyCache, Verifier
from shared.bus import Bus
from shared.bus.outbox import Heartbeat, OutboxRelay
from shared.clock import Clock
from shared.contracts.events import KeysInvalidated
from shared.database import Database, load_queries
from shared.secret_tokens import Peppers
from shared.settings import Settings
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import NO_TRACES, Tracer
from shared.web.guarded_fetcher import GuardedFetcher

SERVICE: Final = "key_issuer"


@dataclass(frozen=True, slots=True)
class Resources:
    """Settings, clock, stores and the few objects that hold state of this process."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    bus: Bus
    """Commands and replies."""
    issuer: Issuer
    """What the use cases work with: the database of schema ``keys``, the peppers and the memory."""
    outbox: OutboxRelay
    revocations: RevocationTail
    """Keeps the memory right, and tells whether it can."""
    listeners: Listeners
    """The resource servers that hear of revocations from this process."""
    verifier: Verifier
    last_use: LastUse
    clients: ClientAuthenticator
    fetcher: GuardedFetcher
    leak_partner: LeakPartner
    started_on: int
    """Unix milliseconds."""


RESOURCES: Final = web.AppKey("resources", Resources)
"""Where the handlers find them in the application."""


def make_resources(settings: Settings, clock: Clock, tracer: Tracer = NO_TRACES) -> Resources:
    """Everything of one process; nothing is opened yet."""
    metrics = Metrics(SERVICE)
    counts = IssuerMetrics(metrics)
    bus = Bus(settings.redis_url, tracer=tracer, source=SERVICE, clock=clock, metrics=metrics)
    database = Database(
        settings.key_issuer_database_url,
        tracer=tracer,
        schema=SCHEMA,
        queries=load_queries(QUERIES),
        application_name="latchkey-key-issuer",
        parameters=PLANS,
    )
    cache = KeyCache(clock.monotonic)
    counts.cache_entries.set_function(lambda: len(cache))
    heartbeat = Heartbeat(
        KeysInvalidated.stream, lambda now: KeysInvalidated(key_ids=(), on=now), lambda: cache.last_heard_at
    )
    listeners = Listeners(metrics, lambda: cache.deaf)
    outbox = OutboxRelay(database, bus, SCHEMA, heartbeat)
    fetcher = GuardedFetcher(settings)
    peppers = Peppers(settings.key_peppers)
    issuer = Issuer(database, clock, peppers, cache, outbox.kick, settings.keys_per_user)
    return Resources(
        settings=settings,
        clock=clock,
        metrics=metrics,
        bus=bus,
        issuer=issuer,
        outbox=outbox,
        revocations=RevocationTail(bus, clock, cache, listeners, counts),
        listeners=listeners,
        verifier=Verifier(cache, clock, KeyReader(issuer, counts).read),
        last_use=LastUse(issuer),
        clients=ClientAuthenticator(bus, clock, next(iter(settings.key_peppers.values()))),
        fetcher=fetcher,
        leak_partner=LeakPartner(reader_of(settings.leak_partner_keys, fetcher), clock),
        started_on=clock.now(),
    )
