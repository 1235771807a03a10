"""What strangers may send: for each text that we read, who reads it, how long it may be, and how it begins."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from services.auth_api.accounts.password_resets import UsedLinkError, reset_password
from services.auth_api.accounts.passwords import _normalised
from services.auth_api.accounts.service import password_problem, typed_username, username_problem
from services.auth_api.authorize import prepare
from services.auth_api.authorize.pending_requests import PendingRequest, find_pending
from services.auth_api.authorize.pushed_requests import find_pushed
from services.auth_api.clients.cache import is_client_id
from services.auth_api.clients.validation import check_client_fields, tidied
from services.auth_api.handlers import credentials, form_failures, oauth_edge
from services.auth_api.handlers import keys as keys_handlers
from services.auth_api.handlers.retries import retry_of
from services.auth_api.oauth import authorization_request, pkce, scope
from services.auth_api.oauth.client_authentication import read_client_credentials
from services.auth_api.oauth.client_registration import read_registration
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.parameters import Parameters
from services.auth_api.oauth.redirect_uri import explain_mismatch, fault_of_redirect_uri, match_redirect_uri
from services.auth_api.oauth.token import KNOWN, read_token_request
from services.auth_api.webhooks.endpoints import host_of
from services.auth_api.webhooks.retries import next_try_on
from services.consent_ui import authorization_query, display_names, forms, moments, redirect_target
from services.consent_ui import session as pages_session
from services.consent_ui.filters import rows_of
from services.consent_ui.form_errors import client_form_errors
from services.consent_ui.handlers import keys as keys_pages
from services.consent_ui.handlers import webhooks as webhooks_pages
from services.consent_ui.user_agents import browser_name
from services.key_issuer.handlers import introspect, status, verify
from shared.api_key import basic_credentials, basic_name_and_key, parse_key
from shared.contracts.authorization import PrepareAuthorization
from shared.contracts.clients import ClientFields, ClientView
from shared.contracts.field_errors import FieldError
from shared.host_names import is_host_name
from shared.key_file import filename_problem, render_key_file, safe_ascii, template_problem
from shared.plain_text import is_visible
from shared.telemetry.spans import SpanTracer
from shared.user_code import normalise_user_code
from shared.web import body, connection, cookies, edge, error_renderers, redirects
from shared.web.failures import Failure, Problem
from shared.web.name_lookups import site_of
from shared.web.redirects import is_own_target, read_target, sign_target
from shared.web.server import LARGEST_HEADER
from tests.unit.linear import leaks, own_login
from tests.unit.linear.pumps import TAILS
from tests.unit.linear.requests import SECRETS, SETTINGS, finished, in_a_line, make_request

CATALOGUE: Final = tuple(f"permission_{number}" for number in range(20))
FIELDS: Final = ClientFields(name="Epic Games", requested_permissions=CATALOGUE[:1])
CLIENT: Final = ClientView(
    client_id="c",
    name="Epic Games",
    author=1,
    author_name="b",
    created_on=1,
    requested_permissions=CATALOGUE,
    redirect_uris=tuple(f"https://client.example/{number}" for number in range(10)),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One text of a stranger's. Whoever adds a function that reads one adds a case, or its function to one."""

    name: str
    read: Callable[[str], object]
    longest: int
    """Of the whole text in characters, as the server admits it."""
    heads: Sequence[str] = ("",)
    """What stands before what is repeated, so that it gets as far as it can."""
    tails: Sequence[str] = TAILS


def _header(name: str, read: Callable[[Any], object], *heads: str) -> Case:
    """A header, which is at most as long as a line may be."""
    field = name.replace("-", "_")

    def work(text: str) -> object:
        headers: dict[str, Any] = {field: text}
        return read(make_request("POST", **headers))

    return Case(name, work, LARGEST_HEADER - 100, heads or ("",))


def _parameters(text: str, known: Sequence[str]) -> Parameters:
    return Parameters(dict.fromkeys(known, text))


def all_of(*readers: Callable[[str], object]) -> Callable[[str], object]:
    """Every one of them, also after one that refuses."""

    def read(text: str) -> None:
        for reader in readers:
            with suppress(Problem, OAuthError, ValueError):
                reader(text)

    return read


def sign_in(text: str, media_type: str) -> object:
    """Reads a body for signing in; whatever comes of it, its sender is told that it failed."""
    request = make_request(
        "POST", "/api/v1/session", text.encode("utf-8", "replace"), Content_Type=media_type
    )
    try:
        return finished(credentials.read_person_credentials(request))
    finally:
        form_failures.render_form_error(request, Failure(401, "No."))


def _authorize(text: str) -> object:
    names = authorization_request.AUTHORIZE
    pairs = [(name, text) for name in names] + [("response_type", "code")]
    parameters = authorization_request.sort_parameters(pairs[:-1], names)
    authorization_request.client_id_of(parameters)
    return authorization_request.target_of(parameters, CLIENT)


def _check_request(text: str) -> object:
    names = authorization_request.AUTHORIZE
    results = []
    for name in ("scope", "prompt", "code_challenge", "response_mode", "state"):
        values = {"client_id": "c", "response_type": "code", name: text}
        parameters = authorization_request.AuthorizationParameters(Parameters(values), names)
        target = authorization_request.Target("https://client.example/0", sent=False)
        with suppress(OAuthError):
            results.append(authorization_request.check_request(parameters, CLIENT, target, CATALOGUE))
    return results


def _passed_through(text: str) -> object:
    request = authorization_request.AuthorizationRequest("c", None, CATALOGUE[:1], state=text, context=text)
    pending = PendingRequest("authorize", "s", 1, request, begun_on=0, expires_on=1)
    return pending.without_passing().brought_back([("state", text), ("context", text)])


def _client_fields(**given: str) -> object:
    return check_client_fields(tidied(FIELDS.model_copy(update=given)), CATALOGUE, private_targets=False)


def _link(text: str) -> object:
    request = make_request("GET", f"/oauth/authorize?{in_a_line(text)}")
    target = pages_session.target_of(request)
    return PrepareAuthorization(
        surface="authorize",
        query=authorization_query.query_of(SECRETS, target),
        session=None,
        peer="p",
        request_id="r",
    ).to_wire()


def page_form(text: str) -> object:
    """Reads a field of a page's form in every way there is."""
    form = forms.PageForm({"a": (text,)})
    return form.one("a"), form.optional("a"), form.lines("a"), form.many("a"), forms.is_key_name(text)


def _posted(read: Callable[[Any], Any], target: str, media_type: str) -> Callable[[str], object]:
    def work(text: str) -> object:
        content = text.encode("utf-8", "replace")
        request = make_request("POST", target, content, Content_Type=media_type, Origin=SETTINGS.origin)
        return finished(read(request))

    return work


def _trace(text: str) -> object:
    tracer = _tracers.setdefault("one", SpanTracer("auth_api"))
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with tracer.answering("GET", "/", (text, "")), tracer.answering("GET", "/", (traceparent, text)):
        return None


_tracers: Final[dict[str, SpanTracer]] = {}


def forwarded(request: Any) -> object:
    """Whom a request counts as, without what is remembered of others."""
    edge._counted.cache_clear()
    return edge.peer_of(request, SETTINGS)


def _redirected(text: str) -> object:
    parameters = authorization_request.sort_parameters(
        [("state", text), ("context", text)], authorization_request.AUTHORIZE
    )
    target = authorization_request.Target("https://client.example/0", sent=False)
    error = OAuthError("invalid_scope", text)
    resources: Any = SimpleNamespace(settings=SETTINGS)
    return prepare._error_redirect(resources, parameters, target, error)


def _referred(text: str) -> None:
    nothing: Any = None
    parameters = authorization_request.sort_parameters(
        [("request_uri", text)], authorization_request.AUTHORIZE
    )
    with suppress(AttributeError):  # well-formed: it would be looked up
        finished(find_pending(nothing, text))
    with suppress(AttributeError):
        finished(find_pushed(nothing, parameters, "c"))


def _reset(text: str) -> None:
    nothing: Any = None
    with suppress(UsedLinkError, AttributeError):  # well-formed: it would be looked up
        finished(reset_password(nothing, text, "", ""))


def _oauth(text: str, media_type: str) -> object:
    request = make_request("POST", "/", text.encode("utf-8", "replace"), Content_Type=media_type)
    return finished(oauth_edge.read_parameters(request, KNOWN, allow_json=True))


def _permission_query(text: str) -> object:
    return verify.lacks_permission(verify.wanted_permissions(f"permission={in_a_line(text)}"))


_FORM, _JSON = body.FORM, body.JSON
_BASIC = "Basic " + b64encode(b"client:").decode().rstrip("=")
_URL_PART = "https://a.example"
_ADDRESS: Final = LARGEST_HEADER - 200
"""Of a query: it is one line with the path."""

CASES: Final[Sequence[Case]] = (
    _header("Content-Type", lambda request: body.require_media_type(request, _FORM), "", f"{_FORM};", f"{_FORM};charset="),
    _header("Content-type of an OAuth endpoint", oauth_edge.is_json),
    _header("Cookie", lambda request: (cookies.read_session_cookie(request, SETTINGS), cookies.read_typed_username(request, SETTINGS)), "", "__Host-latchkey_session=", "__Host-latchkey_typed=", '__Host-latchkey_typed="'),
    _header("Origin", lambda request: (cookies.is_foreign(request, SETTINGS), cookies.is_same_origin(request, SETTINGS))),
    _header("Authorization", lambda request: [verify.presented_token(request)] + [all_of(edge.scheme_of, basic_credentials, verify.bearer_token, lambda text: read_client_credentials([text], Parameters({})))(text) for text in edge.authorization_of(request)], "", "Basic ", "Bearer ", _BASIC),
    _header("X-Forwarded-For", forwarded, "", "::", "1.", "["),
    _header("X-Request-ID", edge.begin),
    _header("Expect", connection.refusal_of, "", "100-continue"),
    _header("Transfer-Encoding", connection.refusal_of, "", "chunked,"),
    Case("Accept", lambda text: form_failures.render_form_error(make_request("POST", "/api/v1/session", Accept=text), Failure(403, "No.")), LARGEST_HEADER - 100, ("", "text/html")),
    _header("Idempotency-Key", retry_of, "", '"'),
    Case("traceparent and tracestate", _trace, LARGEST_HEADER - 100, ("", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b", "a=b,")),
    Case("a query", lambda text: body.query_pairs(make_request("GET", f"/?{in_a_line(text)}")), _ADDRESS, ("", "a=")),
    Case("a form", lambda text: body.parse_pairs(text.encode("utf-8", "surrogatepass"), "body"), body.LARGEST_BODY - 100, ("", "a=")),
    Case("JSON", lambda text: body.parse_json_object(text.encode("utf-8", "surrogatepass")), body.LARGEST_BODY // 3, ("", "{", '{"a":', '{"a":"', '{"a":[', '{"a":-0.', '{"a":1E', '{"a":"\\u')),
    Case("credentials in a form", lambda text: sign_in(text, _FORM), body.LARGEST_BODY // 3, ("username=", "password=", "username=a&password=b&continue=", "")),
    Case("credentials in JSON", lambda text: sign_in(text, _JSON), body.LARGEST_BODY // 3, ('{"username":"', '{"password":"')),
    Case("Retry-After of an endpoint", lambda text: next_try_on(1, 1, (5.0,), text), LARGEST_HEADER - 100, ("", "Sun, 29 Nov 2026 ", "1")),
    Case("an address for webhooks", host_of, 2_000, ("", "https://", "https://[", "https://a.")),
    Case("a username", all_of(typed_username, username_problem), body.LARGEST_BODY // 3),
    Case("a password", all_of(lambda text: password_problem("Somebody", text) or _normalised(text)), body.LARGEST_BODY // 3),
    Case("an operator's link", _reset, body.LARGEST_BODY // 3, ("", "A" * 42)),
    Case("what a browser says of itself on a page", browser_name, LARGEST_HEADER - 100, ("", "Mozilla/5.0 (", "Firefox/")),
    Case("parameters of a token request", all_of(lambda text: read_token_request(_parameters(text, [*KNOWN])), lambda text: read_token_request(Parameters({"grant_type": "authorization_code", "code": "c", "code_verifier": text}))), body.LARGEST_BODY // 3),
    Case("client credentials in Basic", lambda text: all_of(basic_credentials, basic_name_and_key)(f"Basic {b64encode(text.encode('utf-8', 'replace')).decode()}"), LARGEST_HEADER // 2, ("", "a:")),
    Case("client credentials", all_of(lambda text: read_client_credentials([], Parameters({"client_id": text, "client_secret": text})), is_client_id), body.LARGEST_BODY // 3),
    Case("an authorization request", all_of(_authorize, _check_request), body.LARGEST_BODY // 3, ("", "https://client.example/0")),
    Case("what passes through", _passed_through, body.LARGEST_BODY // 3),
    Case("PKCE", all_of(lambda text: pkce.check_challenge(text, "S256", required=True), lambda text: pkce.check_verifier("c", text)), body.LARGEST_BODY // 3),
    Case("a scope", all_of(lambda text: scope.narrow(scope.parse_scope(text), CATALOGUE)), body.LARGEST_BODY // 3, ("", "permission_1")),
    Case("a redirect URI", all_of(fault_of_redirect_uri, lambda text: match_redirect_uri(CLIENT.redirect_uris, text), lambda text: explain_mismatch(CLIENT.redirect_uris, text)), body.LARGEST_BODY // 3, ("", _URL_PART, f"{_URL_PART}/", f"{_URL_PART}/?", "http://127.0.0.1", "com.example.", "https://[")),
    Case("a user code", normalise_user_code, _ADDRESS, ("", "WDFB-XCQM")),
    Case("metadata of a client", lambda text: read_registration({"redirect_uris": ["https://a.example/"], "client_name": text, "client_uri": text, "scope": text}, CATALOGUE), body.LARGEST_BODY // 3),
    Case("a client's name", lambda text: _client_fields(name=text), body.LARGEST_BODY // 3, ("", "e")),
    Case("a client's description", lambda text: _client_fields(description=text), body.LARGEST_BODY // 3, ("", "e")),
    Case("a client's homepage", lambda text: _client_fields(homepage=text, webhook_uri=text), body.LARGEST_BODY // 3, ("", _URL_PART, "https://", "https://[", "https://1.", "https://0x")),
    Case("a client's short homepage", lambda text: _client_fields(homepage=text, webhook_uri=text), 1_900, ("", _URL_PART, "https://", "https://[", "https://1.", "https://0x", "https://[64:ff9b::1]")),
    Case("the name of a key file", all_of(filename_problem, safe_ascii), 80, ("", "CON.")),
    Case("the name of a key file that is too long", filename_problem, body.LARGEST_BODY // 3),
    Case("a template", lambda text: (template_problem(f"{text}%%API_KEY%%", "a.txt"), render_key_file(text, None, "x", "lku")), 9_900, ("", "%%API_KEY%")),
    *(Case(f"a line of a template in {suffix}", lambda text, suffix=suffix: template_problem(f"{text}\n%%API_KEY%%", f"a.{suffix}"), 900, ("", "a = ", "["), ("",))  # type: ignore[misc]
      for suffix in ("json", "toml", "yaml", "ini")),
    *(Case(f"a template in {suffix}", lambda text, suffix=suffix: template_problem(f"{text}\n%%API_KEY%%", f"a.{suffix}"), 9_900, ("", "[a]\n", "a = '''\n"), ("",))  # type: ignore[misc]
      for suffix in ("json", "toml", "yaml", "ini")),
    Case("the name of a host", all_of(is_host_name, site_of), body.LARGEST_BODY // 3),
    Case("a name for a key", all_of(is_visible, keys_handlers._identifier_errors, rows_of), 80),
    Case("the id of a key", all_of(keys_pages.key_id_in, parse_key), body.LARGEST_BODY // 3, ("", "lku_", "lku_000000_")),
    Case("a delivery and a number in the console", all_of(webhooks_pages.webhook_id_in, webhooks_pages.number_in), body.LARGEST_BODY // 3),
    Case("a cursor", lambda text: keys_handlers._cursor(make_request("GET", f"/api/v1/keys?cursor={in_a_line(text)}")), _ADDRESS),
    Case("where to go on", all_of(lambda text: read_target(SECRETS, text), is_own_target, lambda text: sign_target(SECRETS, text)), body.LARGEST_BODY // 3, ("", "/", "0" * 64 + ".", sign_target(SECRETS, "/"))),
    Case("a link for consent", _link, _ADDRESS, ("", "client_id=", "a=")),
    Case("the path of a link for consent", all_of(partial(authorization_query.query_of, SECRETS), authorization_query.path_of), _ADDRESS, ("/client-file-flow/", "/oauth/authorize?", "/oauth/authorize", "/oauth/authorize?request_uri=", "/device?user_code=")),
    Case("a field of a page's form", page_form, body.LARGEST_BODY // 3),
    Case("a page's form", _posted(forms.read_own_form, "/logout", _FORM), body.LARGEST_BODY // 3, ("", "csrf=")),
    Case("a day", moments.end_of_day, body.LARGEST_BODY // 3, ("", "2027-01-31", "2027-01-")),
    Case("where an answer goes", redirect_target.describe_redirect, 2_000, ("", _URL_PART, "https://[")),
    Case("the name of an app on a page", all_of(display_names.readable, display_names.initial, lambda text: display_names.suspicion(text, "Latchkey")), 80),
    Case("the homepage of an app on a page", display_names.homepage_of, 2_000, ("", _URL_PART, "https://[")),
    Case("a wrong field on a page", lambda text: client_form_errors([FieldError(field=text, detail="is wrong")]), body.LONGEST_NAME, ("", "redirectUris.")),
    Case("an answer's state and description", _redirected, body.LARGEST_BODY // 3),
    Case("what a form or link refers to", _referred, body.LARGEST_BODY // 3, ("", "urn:ietf:params:oauth:request_uri:")),
    Case("an OAuth endpoint's form", lambda text: _oauth(text, _FORM), body.LARGEST_BODY // 3, ("", "code=")),
    Case("an OAuth endpoint's JSON", lambda text: _oauth(text, _JSON), body.LARGEST_BODY // 3, ("", '{"code":"')),
    Case("an OAuth endpoint's query", lambda text: finished(oauth_edge.read_parameters(make_request("POST", f"/?{in_a_line(text)}"), KNOWN)), _ADDRESS, ("", "code=")),
    Case("permissions to check", _permission_query, _ADDRESS, ("", "a&permission=")),
    Case("an introspection", all_of(lambda text: introspect._once_each(body.parse_pairs(text.encode("utf-8", "replace"), "body")), lambda text: introspect._credentials([], {"client_id": text, "client_secret": text}), lambda text: introspect._credentials([text], {}), introspect._service_login), body.LARGEST_BODY // 3, ("", "token=", _BASIC)),
    Case("something to be said back", _posted(status._echo, "/api/v1/status", _JSON), body.LARGEST_BODY // 3, ("", '{"echo":"')),
    Case("what is told of an error", all_of(error_renderers.description, lambda text: redirects.append_parameters("https://a.example/", [("state", text)])), body.LARGEST_BODY // 3),
    *(Case(name, read, longest, heads) for name, read, longest, heads in (*own_login.TEXTS, *leaks.TEXTS)),
    _header("Authorization of a service", own_login.service_key, "", "Bearer "),
    _header(leaks.SIGNATURE, leaks.signature_header),
    _header("X-Forwarded-User", own_login.named_person, "", "a"),
)  # fmt: skip
"""Every text."""
