"""Weakenings of what keeps texts, files and the wire harmless: cases 42 to 50, 59 and 60."""

from __future__ import annotations

from typing import Final

from tests.weakened.mutations import (
    after_call,
    before,
    constant,
    keyword,
    never,
    result,
    rewritten_call,
    without_operand,
)
from tests.weakened.weakening import Weakening, weaken

_FIELDS: Final = "auth_api/test_client_fields.py"
_ADDRESSES: Final = "shared/test_public_address.py"
_FETCHER: Final = "integration/test_guarded_fetcher.py"
_PROXY: Final = "integration/test_guarded_fetcher_proxy.py"
_BOUNDS: Final = "integration/test_guarded_fetcher_bounds.py"
_FILES: Final = "shared/test_key_file.py"
_WIRE: Final = "integration/test_wire.py"
_SERVICES: Final = "integration/test_wire_of_services.py"
_EDGES: Final = "integration/test_edges_of_all.py"
_CONSENT: Final = "oauth/test_consent.py"
_KEY_MADE: Final = """
from shared.contracts.sessions import SessionUser
reader = SessionUser(user_id=_2, username='reader')
await create_key(_1, reader, identifier='read', permissions=('submit_score',), expires_in=None)
"""

EDGES: Final[tuple[Weakening, ...]] = (
    weaken(
        42,
        "names may hold characters that turn the direction or hide",
        _FIELDS,
        without_operand("is_plain", "is_invisible"),
    ),
    weaken(
        42,
        "pages do not escape",
        ("consent_ui/test_templates.py", "consent_ui/test_edges.py"),
        keyword("Pages.__init__", "autoescape", "False"),
        picking="strangers",
    ),
    weaken(43, "the name of a file may be a path", _FILES, never("filename_problem", "_PATH_CHARACTERS")),
    weaken(
        44,
        "a template need not parse as its file name promises",
        _FILES,
        rewritten_call("template_problem", "_format_problem", "None"),
        picking="keeps_the_promise",
    ),
    weaken(
        45,
        "each press of Create key makes one",
        _CONSENT,
        rewritten_call("order_file_key", "digest_of", "digest_of(repr(key))"),
        keyword("order_file_key", "decision", "None"),
    ),
    weaken(
        45, "reading the keys makes one", "auth_api/test_keys.py", before("list_page@create_key", _KEY_MADE)
    ),
    weaken(46, "a template may hold several placeholders", _FILES, never("template_problem", "_PLACEHOLDER")),
    weaken(
        46,
        "a template engine fills the file",
        _FILES,
        before("render_key_file", "import jinja2\n_1 = jinja2.Template(_1).render()"),
    ),
    weaken(47, "a webhook may lead to any address", _FIELDS, before("fault_of_address", "return None")),
    weaken(
        47,
        "what Python calls global is global",
        (_FIELDS, _ADDRESSES),
        before("is_public", "import ipaddress\nreturn ipaddress.ip_address(_1).is_global"),
    ),
    weaken(
        47,
        "IPv4 inside IPv6 is as good as what is inside",
        _ADDRESSES,
        rewritten_call("is_public", "_parsed", "getattr(_, 'ipv4_mapped', None) or _"),
    ),
    weaken(
        47,
        "one good address is enough",
        _FETCHER,
        rewritten_call("PublicAddresses.resolve", "all", "any(_1)"),
    ),
    weaken(
        47,
        "nobody looks at what a name leads to",
        _FETCHER,
        rewritten_call("PublicAddresses.resolve", "all", "True"),
        never("connector_to_public.open_socket", "is_public"),
    ),
    weaken(
        47,
        "a name is looked up again once it was checked",
        _FETCHER,
        result("PublicAddresses.resolve", "await super().resolve(host, port, family) or _"),
        never("connector_to_public.open_socket", "is_public"),
        picking="changes_after",
    ),
    weaken(
        47,
        "the socket trusts the URL and the look-up",
        _FETCHER,
        never("connector_to_public.open_socket", "is_public"),
        picking="socket_looks_too",
    ),
    weaken(47, "redirects are followed", _FETCHER, keyword("GuardedFetcher._ask", "allow_redirects", "True")),
    weaken(
        47,
        "proxies of the environment count",
        _FETCHER,
        keyword("GuardedFetcher._session", "trust_env", "True"),
        picking="environment",
    ),
    weaken(
        47,
        "before a proxy nothing is checked",
        _PROXY,
        rewritten_call("GuardedFetcher.fetch", "fault_of_address", "None if self._proxy else _"),
    ),
    weaken(
        47,
        "an answer may be as long as it likes",
        _BOUNDS,
        constant("LARGEST_HEAD", "10**12"),
        constant("LARGEST_ANSWER", "10**12"),
        picking="interim or without_end",
    ),
    weaken(
        48,
        "NUL and lone surrogates reach the stores",
        "shared/test_body.py",
        never("_check_text", "_NOT_TO_BE_KEPT"),
    ),
    weaken(
        49,
        "the activity log repeats what was sent",
        "oauth/test_attempts.py",
        keyword("read_token_request", "cause", "f'{_} {grant_type}'"),
    ),
    weaken(
        50,
        "the debug log tells the code",
        "oauth/test_wrong_input.py",
        before(
            "exchange_code",
            "import structlog\nstructlog.get_logger().debug('exchange', code=_2.request.code)",
        ),
    ),
    weaken(
        50,
        "sessions are kept under the cookie itself",
        "oauth/test_wrong_input.py",
        after_call(
            "start_session",
            "execute",
            "await redis.execute('SET', _name(session_id), record, 'EX', IDLE_SECONDS)",
            "SET",
        ),
    ),
    weaken(
        59,
        "half a request may stay as long as it likes",
        _WIRE,
        constant("HEAD_SECONDS", "1000.0"),
        picking="half_open",
    ),
    weaken(
        59,
        "a body may take as long as it likes",
        _WIRE,
        constant("BODY_SECONDS", "1000.0"),
        constant("ANSWER_SECONDS@token", "1000.0"),
        picking="slow_bodies",
    ),
    weaken(
        59,
        "a body may be as long as it likes",
        _WIRE,
        constant("LARGEST_BODY@read_body", "1 << 40"),
        picking="too_large",
    ),
    weaken(
        59,
        "every expectation is aiohttp's to answer",
        _SERVICES,
        never("refusal_of@_codings", "EXPECT"),
        picking="other_expectations",
    ),
    weaken(
        59,
        "the last of the transfer codings counts",
        _SERVICES,
        rewritten_call("refusal_of@_codings", "_codings", "_.rpartition(',')[2].strip()"),
        picking="other_transfer_codings",
    ),
    weaken(
        59,
        "an absolute form must name a host",
        _SERVICES,
        rewritten_call("serving", "made_soundly", "_1"),
        picking="absolute_form",
    ),
    weaken(
        59,
        "a client that takes nothing of its answer stays connected",
        _SERVICES,
        constant("TAKING_SECONDS", "1000.0"),
        picking="slow_readers",
    ),
    weaken(
        60,
        "answers may be sniffed",
        _EDGES,
        constant("COMMON_HEADERS", "CIMultiDict({**_, 'X-Content-Type-Options': 'any'})"),
    ),
    weaken(
        60,
        "every endpoint is open to pages of other sites",
        _EDGES,
        constant("COMMON_HEADERS", "CIMultiDict({**_, 'Access-Control-Allow-Origin': '*'})"),
        picking="cors",
    ),
)
