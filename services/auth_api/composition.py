"""What the use cases stand on, made: by the service for its life, by the command line for one command."""

from __future__ import annotations

from typing import Final

from services.auth_api.accounts.passwords import PasswordHasher
from services.auth_api.activity_log import AttemptRecorder
from services.auth_api.clients.cache import ClientDirectory
from services.auth_api.codes.store import CodeStore
from services.auth_api.db.repository import QUERIES, SCHEMA
from services.auth_api.metrics import AuthMetrics
from services.auth_api.resources import Resources
from services.auth_api.token.release import CodeReleaser
from shared.bus import Bus
from shared.bus.outbox import OutboxRelay
from shared.clock import Clock
from shared.database import Database, load_queries
from shared.permissions import load_permissions
from shared.settings import Settings
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import NO_TRACES, Tracer

SERVICE: Final = "auth_api"


def make_resources(settings: Settings, clock: Clock, tracer: Tracer = NO_TRACES) -> Resources:
    """What the use cases stand on; nothing is opened yet."""
    metrics = Metrics(SERVICE)
    bus = Bus(settings.redis_url, tracer=tracer, source=SERVICE, clock=clock, metrics=metrics)
    codes = CodeStore(bus)
    passwords = PasswordHasher()
    AuthMetrics(metrics).password_jobs.set_function(lambda: passwords.jobs)
    database = Database(
        settings.auth_api_database_url,
        tracer=tracer,
        schema=SCHEMA,
        queries=load_queries(QUERIES),
        application_name="latchkey-auth-api",
    )
    return Resources(
        settings=settings,
        clock=clock,
        database=database,
        bus=bus,
        catalogue=load_permissions(settings.permissions_file),
        metrics=metrics,
        passwords=passwords,
        clients=ClientDirectory(database, clock),
        outbox=OutboxRelay(database, bus, SCHEMA),
        codes=codes,
        releaser=CodeReleaser(codes),
        attempts=AttemptRecorder(bus, clock),
    )
