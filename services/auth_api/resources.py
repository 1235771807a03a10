"""What the use cases of auth_api stand on: made once, by the service for its life, by the command line for one command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.auth_api.accounts.keyed_lock import KeyedLock
from services.auth_api.accounts.passwords import PasswordHasher
from services.auth_api.activity_log import ActivityLog
from services.auth_api.clients.cache import ClientCache
from services.auth_api.clients.field_checker import FieldChecker
from services.auth_api.codes.store import CodeStore
from services.auth_api.db.repository import QUERIES, SCHEMA
from services.auth_api.rate_limit import RateLimiter
from services.auth_api.token.release import CodeReleaser
from services.auth_api.webhooks.queue import DeliveryQueue
from shared.bus import Bus
from shared.bus.outbox import OutboxRelay
from shared.clock import Clock
from shared.database import Database, load_queries
from shared.permissions import Catalogue, load_permissions
from shared.settings import Settings
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import NO_TRACES, Tracer

if TYPE_CHECKING:  # an HTTP client, which no command line and no site without a provider has a use for
    from services.auth_api.own_login.oidc_provider import OidcProvider

SERVICE: Final = "auth_api"


@dataclass(frozen=True, slots=True)
class Resources:
    """Settings, clock, stores and the few objects that hold state of this process."""

    settings: Settings
    clock: Clock
    database: Database
    """Schema ``auth``."""
    bus: Bus
    """Commands and replies; ``bus.redis`` is the service's Redis."""
    catalogue: Catalogue
    """The permissions of the site, in the order of its file."""
    metrics: Metrics
    passwords: PasswordHasher
    sign_ins: KeyedLock
    """One guess at a time for each account: parallel ones would all pass its limit before any is counted."""
    limiter: RateLimiter
    clients: ClientCache
    field_checker: FieldChecker
    outbox: OutboxRelay
    """``outbox.kick()`` after a commit that wrote an event."""
    deliveries: DeliveryQueue
    """``deliveries.kick()`` after a commit that recorded deliveries of webhooks."""
    codes: CodeStore
    releaser: CodeReleaser
    """Gives codes back whose exchange ended in 503."""
    activity_log: ActivityLog
    oidc: OidcProvider | None = None
    """The OpenID provider that signs people in, where one is configured."""


def make_resources(settings: Settings, clock: Clock, tracer: Tracer = NO_TRACES) -> Resources:
    """Everything of one process; nothing is opened yet."""
    metrics = Metrics(SERVICE)
    bus = Bus(settings.redis_url, tracer=tracer, source=SERVICE, clock=clock, metrics=metrics)
    database = Database(
        settings.auth_api_database_url,
        tracer=tracer,
        schema=SCHEMA,
        queries=load_queries(QUERIES),
        application_name="latchkey-auth-api",
    )
    passwords, codes = PasswordHasher(), CodeStore(bus)
    jobs = metrics.gauge("password_jobs", "Passwords that are being hashed by argon2id, or wait for it.")
    jobs.set_function(lambda: passwords.jobs)
    return Resources(
        settings=settings,
        clock=clock,
        database=database,
        bus=bus,
        catalogue=load_permissions(settings.permissions_file),
        metrics=metrics,
        passwords=passwords,
        sign_ins=KeyedLock(),
        limiter=RateLimiter(bus, clock, settings),
        clients=ClientCache(database, clock),
        field_checker=FieldChecker(private_targets=settings.private_targets),
        outbox=OutboxRelay(database, bus, SCHEMA),
        deliveries=DeliveryQueue(metrics),
        codes=codes,
        releaser=CodeReleaser(codes),
        activity_log=ActivityLog(bus, clock),
        oidc=_oidc_provider(settings, clock),
    )


def _oidc_provider(settings: Settings, clock: Clock) -> OidcProvider | None:
    if settings.oidc_issuer is None:
        return None
    from services.auth_api.own_login.oidc_provider import OidcProvider

    return OidcProvider(settings, clock)
