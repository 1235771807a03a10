"""All three services behind one port: requests go to a service by their path, as the reverse proxy sends them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractRuleMatching, MatchedSubAppResource
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from deploy.service_table import load_service
from shared.settings import Settings
from shared.telemetry.metrics import Metrics
from shared.web.body import LARGEST_BODY
from shared.web.edge import make_application
from shared.web.health import METRICS, READINESS, HealthCheck, add_health

SERVICES: Final = ("auth_api", "consent_ui", "key_issuer")

_OPERATIONS: Final = frozenset({"/livez", "/readyz", "/metrics"})
_KEY_ISSUER: Final = frozenset(
    {
        "/api/v1/verify",
        "/api/v1/status",
        "/api/v1/users/me",
        "/api/v1/oauth/introspect",
        "/api/v1/keys/report-leak",
        "/api/v1/revocations",
    }
)

_AUTH_API: Final = ("/api", "/.well-known", "/login/oidc", "/login/site")


def service_for(path: str) -> str:
    """Which part answers a path (decoded, without query): a service, or `operations` for all of them."""
    if path in _OPERATIONS:
        return "operations"
    if path in _KEY_ISSUER:
        return "key_issuer"
    if path in _AUTH_API or path.startswith(tuple(f"{prefix}/" for prefix in _AUTH_API)):
        return "auth_api"
    return "consent_ui"


def create_app(settings: Settings) -> web.Application:
    """One application out of three; each keeps its own start-up, clean-up, middlewares and error shapes."""
    services = {name: load_service(name)(settings) for name in SERVICES}
    operations = _operations(services)
    root = web.Application(client_max_size=LARGEST_BODY)  # aiohttp asks the outermost application
    root[READINESS] = operations[READINESS]
    for name, application in {**services, "operations": operations}.items():
        # What `add_domain` does, with the path for the domain: aiohttp has no public door for other rules.
        factory = partial(MatchedSubAppResource, _PathRule(name), application)
        root._add_subapp(factory, application)  # noqa: SLF001
    return root


class _PathRule(AbstractRuleMatching):
    """Matches the requests whose path belongs to one service."""

    def __init__(self, service: str) -> None:
        self._service = service

    @property
    def canonical(self) -> str:
        return self._service

    def get_info(self) -> Any:
        return {"service": self._service}

    async def match(self, request: web.Request) -> bool:
        return service_for(request.path) == self._service


def _operations(services: Mapping[str, web.Application]) -> web.Application:
    """The operators' endpoints over all services: their dependencies by name, their metrics by label."""
    metrics = _MergedMetrics({name: application[METRICS] for name, application in services.items()})
    operations = make_application(metrics)
    readiness = {name: application[READINESS] for name, application in services.items()}
    add_health(
        operations,
        metrics,
        _named({name: each.stores for name, each in readiness.items()}),
        _named({name: each.signals for name, each in readiness.items()}),
    )
    return operations


def _named(checks: Mapping[str, Mapping[str, HealthCheck]]) -> dict[str, HealthCheck]:
    return {
        f"{service}.{dependency}": check
        for service, its_checks in checks.items()
        for dependency, check in its_checks.items()
    }


class _MergedMetrics(Metrics):
    """The families of several services under their common names, told apart by the label `service`."""

    def __init__(self, services: Mapping[str, Metrics]) -> None:
        super().__init__("all")
        sources = {
            **{name: metrics.registry for name, metrics in services.items()},
            "operations": self.registry,
        }
        self.registry = CollectorRegistry()
        self.registry.register(_Merged(sources))


class _Merged(Collector):
    """Collects the same families from several registries into one."""

    def __init__(self, sources: Mapping[str, CollectorRegistry]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for service, registry in self._sources.items():
            for family in registry.collect():
                merged = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type, family.unit)
                )
                merged.samples.extend(
                    sample._replace(labels={**sample.labels, "service": service}) for sample in family.samples
                )
        yield from families.values()
