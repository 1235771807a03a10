"""The span of each request, around everything else; named by the route's template, since paths and queries hold secrets."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware
from opentelemetry.trace import SpanKind, Status, StatusCode

from shared.spans import Spans, ending, within
from shared.web.edge import QUIET_ROUTES, Handler, request_id_of, route_template


def span_of_request(spans: Spans) -> Middleware:
    """The outermost middleware: continues the caller's trace (W3C ``traceparent``), or begins one."""

    @web.middleware
    async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = route_template(request)
        if route in QUIET_ROUTES:
            return await handler(request)
        method = request.method if request.method in hdrs.METH_ALL else "_OTHER"
        carrier = request.headers.get("traceparent", ""), request.headers.get("tracestate", "")
        attributes = {"http.request.method": method, "http.route": route}
        span = spans.from_outside(f"{method} {route}", SpanKind.SERVER, carrier, attributes)
        with ending([span]), within([span]):
            response = await handler(request)
            span.set_attribute("http.response.status_code", response.status)
            span.set_attribute("latchkey.request_id", request_id_of(request))
            if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR))
            return response

    return traced
