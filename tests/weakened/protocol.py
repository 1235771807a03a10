"""Weakenings of redeeming, client authentication and authorization requests: cases 01 to 24."""

from __future__ import annotations

from typing import Final

from tests.weakened.mutations import (
    before,
    keyword,
    never,
    result,
    rewritten_call,
    uncaught,
    without_call,
    without_element,
    without_line,
    without_operand,
)
from tests.weakened.weakening import Weakening, weaken

_REDEEMING: Final = "oauth/test_abuse_redeeming.py"
_REQUESTS: Final = "oauth/test_abuse_token_requests.py"
_CLIENTS: Final = "oauth/test_abuse_clients.py"
_ENDPOINT: Final = "oauth/test_authorization_endpoint.py"
_REQUEST: Final = "oauth/test_authorization_request.py"
_BINDING: Final = (_REDEEMING, "oauth/test_authorization_code.py")
_PKCE: Final = (_REDEEMING, "oauth/test_pkce.py")
_BASIC: Final = (_CLIENTS, "oauth/test_client_authentication.py")
_CODES: Final = "auth_api/test_codes.py"
_WITHOUT: Final = "{{name: value for name, value in _.items() if name != '{}'}}"
_URIS: Final = "oauth/test_redirect_uri.py"
_BODIES: Final = "shared/test_body.py"

EXCHANGE: Final[tuple[Weakening, ...]] = (
    weaken(
        1, "a replay revokes nothing", _REDEEMING, without_call("_explain@exchange_code", "revoke_replayed")
    ),
    weaken(
        2,
        "the script that spends a code does not look whether it is spent, nor at anything else",
        _CODES,
        without_line("REDEEM", "refused('different')"),
        picking="not_good",
    ),
    weaken(
        2,
        "a redeem that was given up may still spend the code",
        _CODES,
        without_line("RELEASE", "'fence:'"),
        picking="overtook",
    ),
    weaken(
        2,
        "a redeem may spend the code however late it comes",
        _CODES,
        without_line("REDEEM", "'late'"),
        picking="past_its_own_deadline",
    ),
    weaken(
        3,
        "a code is not bound to its client",
        _BINDING,
        without_element("_CHECKS@check_binding", "_same_client"),
    ),
    weaken(
        4,
        "redirect_uri is not compared when a code is redeemed",
        _BINDING,
        without_element("_CHECKS@check_binding", "_same_redirect_uri"),
    ),
    weaken(5, "any verifier meets any challenge", _PKCE, never("check_verifier", "challenge_of")),
    weaken(
        6,
        "a verifier without a challenge is let through",
        _PKCE,
        never("check_verifier", "verifier", "is not"),
    ),
    weaken(
        6,
        "a public client need not use PKCE",
        _ENDPOINT,
        keyword("check_request", "required", "False", "public"),
    ),
    weaken(
        7,
        "plain, and no method, are as good as S256",
        "oauth/test_pkce.py",
        never("check_challenge", "METHOD"),
    ),
    weaken(
        8,
        "an expired code can be redeemed while it is remembered",
        _REDEEMING,
        without_line("REDEEM", "'expired'"),
    ),
)
"""Of the exchange itself."""

BINDING: Final[tuple[Weakening, ...]] = tuple(
    weaken(
        case,
        f"{what} when the script compares it with the request",
        _CODES,
        result("Redemption.binding", _WITHOUT.format(name)),
        picking="something_else or not_good",
    )
    for case, name, what in (
        (3, "client_id", "the client of a code is left out"),
        (4, "redirect_uri", "the redirect URI of a code is left out"),
        (4, "redirect_uri_optional", "that the redirect URI must be sent is left out"),
        (5, "challenge", "the challenge of a code is left out"),
        (58, "kind", "that a code is a device's is left out"),
    )
)
"""The same rules once more, as what the script that spends a code compares without knowing what it means."""

PROTOCOL: Final[tuple[Weakening, ...]] = (
    weaken(
        9,
        "of a repeated parameter the last one counts",
        (_REQUESTS, "oauth/test_parameters.py"),
        without_call("collect", "append"),
    ),
    weaken(
        9,
        "secrets and codes may be in the query string too",
        _REQUESTS,
        without_call("read_parameters", "_refuse_query"),
    ),
    weaken(
        10,
        "a body of any media type is read as a form",
        _REQUESTS,
        never("require_media_type", "allowed", "not in"),
    ),
    weaken(
        10,
        "JSON that is nested too deeply is nobody's error",
        (_BODIES, _REQUESTS),
        uncaught("parse_json_object", "RecursionError"),
        picking="ac_10 and json",
    ),
    weaken(
        10,
        "a body that is not in its coding is nobody's error",
        "integration/test_wire_of_services.py",
        uncaught("read_body", "RequestPayloadError"),
    ),
    weaken(
        11,
        "an unknown grant is taken for the code grant",
        (_REQUESTS, "oauth/test_token.py"),
        never("read_token_request", "GRANT_TYPES"),
    ),
    weaken(
        12, "the halves of Basic are not form-decoded", _BASIC, before("_form_decoded", "return _1.decode()")
    ),
    weaken(12, "base64 of Basic may hold anything", _BASIC, keyword("_basic_pair", "validate", "False")),
    weaken(
        13,
        "of two identities or secrets the first one counts",
        _BASIC,
        never("read_client_credentials@_read_basic", "basic_secret", "body_secret"),
        never("read_client_credentials@_read_basic", "body_id", "basic_id"),
    ),
    weaken(
        14,
        "an unknown client is told so",
        _CLIENTS,
        before("_proven", "if _2 is None:\n raise OAuthError('invalid_client', 'There is no such client.')"),
    ),
    weaken(
        14,
        "wrong client secrets are not limited",
        _CLIENTS,
        without_call("authenticate_client@limit_key", "check", "CLIENT_PEER"),
    ),
    weaken(
        15,
        "a replaced secret works for ever",
        (_CLIENTS, "auth_api/test_client.py"),
        without_operand("Client.live_secret_digests", "now"),
    ),
    weaken(
        16,
        "a redirect URI may go on after the registered one",
        (_ENDPOINT, _URIS),
        before("match_redirect_uri", "if any(_2.startswith(uri) for uri in _1):\n return _2"),
    ),
    weaken(
        16,
        "a redirect URI is compared after parsing",
        _URIS,
        before(
            "match_redirect_uri",
            "from yarl import URL\nif any(URL(_2) == URL(uri) for uri in _1):\n return _2",
        ),
    ),
    weaken(
        17,
        "errors are sent to a redirect URI that nobody registered",
        (_ENDPOINT, _REQUEST),
        rewritten_call("target_of@check_request", "match_redirect_uri", "_ or _2"),
    ),
    weaken(
        18,
        "schemes are refused by a list of bad ones",
        _URIS,
        before(
            "_has_allowed_scheme",
            "if not _1.lower().startswith(('javascript:', 'data:', 'vbscript:')):\n return None",
        ),
    ),
    weaken(18, "http is allowed on every host", _URIS, never("_has_plain_host", "_LOOPBACK_HOSTS")),
    weaken(
        19,
        "a redirect URI may carry our own parameters",
        _URIS,
        without_element("_CHECKS@_has_plain_host", "_has_no_reserved_parameter"),
    ),
    weaken(
        20,
        "a URL library builds the redirect",
        ("shared/test_redirects.py", _ENDPOINT),
        before(
            "append_parameters", "from yarl import URL\nif _2:\n return str(URL(_1).update_query(tuple(_2)))"
        ),
    ),
    weaken(21, "any text is a scope", "oauth/test_scope.py", never("parse_scope", "_GRAMMAR")),
    weaken(
        21, "every response_type is taken for code", _ENDPOINT, never("_refuse_unsupported", "response_type")
    ),
    weaken(
        22,
        "a success names no issuer",
        _REQUEST,
        result("authorization_response", "tuple(pair for pair in _ if pair[0] != 'iss')"),
    ),
    weaken(
        23,
        "redirects are 307, which posts the password or the consent again",
        "integration/test_edges_of_all.py",
        keyword("see_other", "status", "307"),
    ),
    weaken(
        24,
        "a loopback redirect may have any host",
        _URIS,
        rewritten_call("match_redirect_uri", "group", "_0.group('rest')"),
    ),
)
"""Of everything around it that RFC 6749 and its kin speak of."""
