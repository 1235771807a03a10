"""The edge of every service: request ids and peers, a deadline, one place where errors become answers, headers, metrics."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from time import perf_counter
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDict

from shared.errors import StoreUnavailable
from shared.settings import Settings
from shared.telemetry.correlation import correlation, new_request_id
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import NO_TRACES, Tracer
from shared.web.body import LARGEST_BODY
from shared.web.cross_origin import CROSS_ORIGIN, OPEN
from shared.web.error_renderers import ErrorRenderer, render_problem
from shared.web.failures import Failure, Problem

DEADLINE_SECONDS: Final = 3.6
"""Every answer, also a refusal for a store that hangs, is out within 4 s."""
REQUEST_ID: Final = "X-Request-ID"
_OWN_ID: Final = web.RequestKey("request_id", str)
UNROUTED: Final = "unrouted"
QUIET_ROUTES: Final = frozenset({"/livez", "/readyz", "/metrics"})

COMMON_HEADERS: Final = CIMultiDict(
    {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", hdrs.SERVER: "Latchkey"}
)
"""The headers of every answer, also of errors that no handler saw."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_GIVEN_ID: Final = re.compile(r"[0-9A-Za-z-]{8,64}", re.ASCII)
_NODE: Final = re.compile(r"\[(?P<v6>[0-9A-Fa-f:.]+)\](:[0-9]{1,5})?|(?P<address>[0-9.]+)(:[0-9]{1,5})?")
"""An address with brackets or a port (RFC 7239 §6)."""
_LONGEST_NODE: Final = 64
"""In characters; longer ones name no address, and are not remembered either."""
_log = structlog.get_logger("latchkey.http")


def make_application(
    metrics: Metrics,
    *,
    error_renderers: Sequence[tuple[str, ErrorRenderer]] = (),
    default_renderer: ErrorRenderer = render_problem,
    hot: frozenset[str] = frozenset(),
    patient: frozenset[str] = frozenset(),
    streams: frozenset[str] = frozenset(),
    tracer: Tracer = NO_TRACES,
) -> web.Application:
    """An application with the edge in front of its routes.

    Args:
        error_renderers: path prefixes and the shape in which their errors are told; the first that fits counts.
        default_renderer: for all other paths.
        hot: route templates whose requests are counted but not logged, and whose handlers bound their own waiting.
        patient: those whose handlers wait for somebody else's server, and bound that themselves.
        streams: those whose answers, with ``stream_headers``, have no end; logged and counted then, but not how long it took.
        tracer: is told of each request but those of ``QUIET_ROUTES``.
    """
    observe = _observer(metrics)
    unbounded = hot | patient | streams

    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = perf_counter()
        request_id = begin(request)
        route = route_template(request)
        try:
            if route in unbounded:
                response = await handler(request)
            else:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    response = await handler(request)
        except Exception as error:  # noqa: BLE001 - the one place where every error ends
            failure = failure_of(error, request_id)
            response = _renderer_for(request.path, error_renderers, default_renderer)(request, failure)
        seconds = perf_counter() - started
        if not response.prepared:  # else a stream: its headers left long ago
            _complete(response, request, route)
        observe(route, request.method, response.status, None if response.prepared else seconds)
        if route not in hot and route not in QUIET_ROUTES:
            _log_request(request, route, response.status, seconds)
        return response

    application = web.Application(middlewares=[edge], client_max_size=LARGEST_BODY)
    if tracer.enabled:
        application.middlewares.insert(0, _traced_by(tracer))
        application.cleanup_ctx.append(tracer.running)
    return application


def _log_request(request: web.Request, route: str, status: int, seconds: float) -> None:
    _log.info(
        "request",
        method=request.method[:16],
        route=route,
        status=status,
        ms=round(seconds * 1000, 1),
        request_id=request_id_of(request),
    )


def _traced_by(tracer: Tracer) -> Middleware:
    """The outermost middleware: continues the caller's trace (W3C ``traceparent``), or begins one."""

    @web.middleware
    async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = route_template(request)
        if route in QUIET_ROUTES:
            return await handler(request)
        carrier = request.headers.get("traceparent", ""), request.headers.get("tracestate", "")
        with tracer.answering(request.method, route, carrier) as answered:
            response = await handler(request)
            answered(response.status, request_id_of(request))
            return response

    return traced


def _complete(response: web.StreamResponse, request: web.Request, route: str) -> None:
    """Adds the headers that every answer has."""
    headers = response.headers
    headers.extend(COMMON_HEADERS)
    headers[REQUEST_ID] = request_id_of(request)
    if (request.path if route == UNROUTED else route) in OPEN:  # a 405 has no route
        headers.update(CROSS_ORIGIN)


def stream_headers(request: web.Request, own: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers of an answer that begins before its handler returns: its own, and those that every answer has."""
    return CIMultiDict({**own, **COMMON_HEADERS, REQUEST_ID: request_id_of(request)})


def _observer(metrics: Metrics) -> Callable[[str, str, int, float | None], None]:
    """Counts a request; the children of labels are kept, since looking them up costs more than counting."""
    requests, request_seconds = cache(metrics.requests.labels), cache(metrics.request_seconds.labels)

    def observe(route: str, method: str, status: int, seconds: float | None) -> None:
        requests(route, method if method in _METHODS else "other", status).inc()
        if seconds is not None:
            request_seconds(route).observe(seconds)

    return observe


def begin(request: web.Request) -> str:
    """Gives the request its id: the caller's where it is well-formed, a new one else."""
    given = request.headers.get(REQUEST_ID)
    request_id = given if given is not None and _GIVEN_ID.fullmatch(given) else new_request_id()
    request[_OWN_ID] = request_id
    correlation.set(request_id)
    return request_id


def request_id_of(request: web.Request) -> str:
    """The id under which the logs know this request."""
    found: str = request.get(_OWN_ID, "")
    return found


def route_template(request: web.Request) -> str:
    """The route's template (``/api/v1/clients/{clientID}``), never the path: labels stay few and free of secrets."""
    resource = request.match_info.route.resource
    return UNROUTED if resource is None else resource.canonical


def failure_of(error: Exception, request_id: str = "") -> Failure:
    """Any exception as data; the unexpected ones are logged with their trace and told without it."""
    if isinstance(error, Problem):
        return error.failure
    if isinstance(error, StoreUnavailable | TimeoutError):
        retry_after = error.retry_after if isinstance(error, StoreUnavailable) else 1
        _log.warning("unavailable", reason=str(error) or type(error).__name__, request_id=request_id)
        return Failure(
            503,
            "Temporarily unavailable; try again in a moment.",
            "temporarily_unavailable",
            headers={"Retry-After": str(retry_after)},
        )
    if isinstance(error, web.HTTPException):
        return _http_failure(error)
    _log.error("bug", request_id=request_id, exc_info=error)
    return Failure(500, f"Something went wrong on our side (request {request_id}).", "server_error")


def _http_failure(error: web.HTTPException) -> Failure:
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    detail = {
        404: "There is nothing at this address.",
        405: f"This address understands {headers.get('Allow', 'other methods')} only.",
        413: f"The body is larger than {LARGEST_BODY} bytes.",
    }.get(error.status, error.reason + ".")
    return Failure(error.status, detail, headers=headers)


def _renderer_for(
    path: str, error_renderers: Sequence[tuple[str, ErrorRenderer]], default: ErrorRenderer
) -> ErrorRenderer:
    return next((render for prefix, render in error_renderers if path.startswith(prefix)), default)


def authorization_of(request: web.BaseRequest) -> Sequence[str]:
    """The ``Authorization`` headers that carry a value: real clients send an empty one, which counts as absent."""
    return [value for value in request.headers.getall(hdrs.AUTHORIZATION, ()) if value.strip()]


def scheme_of(authorization: str) -> str:
    """The scheme of such a header in lower case; schemes ignore case (RFC 9110 §11.1)."""
    return authorization.strip().partition(" ")[0].lower()


def peer_of(request: web.BaseRequest, settings: Settings) -> str:
    """The address to count against: the socket's peer, or with ``TRUSTED_PROXIES`` = n the n-th hop from the right.

    What a client itself writes into ``X-Forwarded-For`` lies left of that and is never believed. A hop may carry a port
    and brackets (RFC 7239 §6); one that names no address counts as not there. IPv6 peers count by their /64, the smallest
    block one person is given.
    """
    if settings.trusted_proxies:
        hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        if len(hops) >= settings.trusted_proxies:
            hop = hops[-settings.trusted_proxies].strip()
            counted = _counted(hop) if len(hop) <= _LONGEST_NODE else None
            if counted is not None:
                return counted
            _log.warning("forwarded_for_unreadable", hop=hop[:64])
    return _counted(request.remote or "") or "unknown"


@lru_cache(maxsize=4096)
def _counted(node: str) -> str | None:
    """What an address counts as; ``None`` for anything else."""
    match = _NODE.fullmatch(node)
    try:
        parsed = ipaddress.ip_address(match["v6"] or match["address"] if match else node)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)
