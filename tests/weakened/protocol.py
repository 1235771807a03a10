"""Weakenings of redeeming, client authentication and authorization requests: cases 01 to 24."""

from __future__ import annotations

from typing import Final

from tests.weakened.weakening import Edit, Weakening

_OAUTH: Final = "services/auth_api/oauth/"
_UNIT: Final = "tests/unit/oauth/"
_OVER_HTTP: Final = "tests/integration/oauth/"

PROTOCOL: Final[tuple[Weakening, ...]] = (
    Weakening(
        "AC-01",
        "a replay revokes nothing",
        (
            Edit(
                "services/auth_api/token_exchange.py",
                '    if outcome == "spent":\n',
                '    if outcome == "never":\n',
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_redeeming.py",),
        "ac_01",
    ),
    Weakening(
        "AC-02",
        "the script that spends a code does not look whether it is spent",
        (
            Edit(
                "services/auth_api/code_scripts.py",
                "    if code[1] ~= '' then return code[1] end\n    if tonumber(code[3]) <= now",
                "    if tonumber(code[3]) <= now",
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_redeeming.py",),
        "ac_02",
    ),
    Weakening(
        "AC-03",
        "a code is not bound to its client",
        (Edit(f"{_OAUTH}authorization_code.py", "    _same_client,\n", ""),),
        (f"{_OVER_HTTP}test_abuse_redeeming.py", f"{_UNIT}test_authorization_code.py"),
        "ac_03",
    ),
    Weakening(
        "AC-04",
        "redirect_uri is not compared when a code is redeemed",
        (Edit(f"{_OAUTH}authorization_code.py", "    _same_redirect_uri,\n", ""),),
        (f"{_OVER_HTTP}test_abuse_redeeming.py", f"{_UNIT}test_authorization_code.py"),
        "ac_04",
    ),
    Weakening(
        "AC-05",
        "any verifier meets any challenge",
        (
            Edit(
                f"{_OAUTH}pkce.py",
                "    if not hmac.compare_digest(challenge_of(verifier).encode(), challenge.encode()):\n",
                "    if not verifier:\n",
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_redeeming.py", f"{_UNIT}test_pkce.py"),
        "ac_05",
    ),
    Weakening(
        "AC-06",
        "a verifier without a challenge is let through",
        (
            Edit(
                f"{_OAUTH}pkce.py",
                "        if verifier is not None:\n            raise invalid_grant(",
                '        if verifier == "":\n            raise invalid_grant(',
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_redeeming.py", f"{_UNIT}test_pkce.py"),
        "ac_06",
    ),
    Weakening(
        "AC-06",
        "a public client need not use PKCE",
        (Edit(f"{_OAUTH}authorization_request.py", "required=client.public,", "required=False,"),),
        (f"{_OVER_HTTP}test_authorization_endpoint.py",),
        "ac_06",
    ),
    Weakening(
        "AC-07",
        "plain, and no method, are as good as S256",
        (Edit(f"{_OAUTH}pkce.py", "if method != METHOD:", 'if method not in (METHOD, "plain", None):'),),
        (f"{_UNIT}test_pkce.py",),
        "ac_07",
    ),
    Weakening(
        "AC-08",
        "an expired code can be redeemed while it is remembered",
        (
            Edit(
                "services/auth_api/code_scripts.py",
                "    if tonumber(code[3]) <= now then return 'expired' end\n",
                "",
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_redeeming.py",),
        "ac_08",
    ),
    Weakening(
        "AC-09",
        "of a repeated parameter the last one counts",
        (
            Edit(
                f"{_OAUTH}parameters.py", "                repeated.append(name)\n", "                pass\n"
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_redeeming.py", f"{_UNIT}test_parameters.py"),
        "ac_09",
    ),
    Weakening(
        "AC-09",
        "secrets and codes may be in the query string too",
        (
            Edit(
                "services/auth_api/handlers/oauth_edge.py",
                "    _refuse_query(request, known)\n",
                "",
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_redeeming.py",),
        "ac_09",
    ),
    Weakening(
        "AC-10",
        "a body of any media type is read as a form",
        (Edit("shared/web/body.py", "    if name not in allowed:\n", "    if not allowed:\n"),),
        (f"{_OVER_HTTP}test_abuse_redeeming.py",),
        "ac_10",
    ),
    Weakening(
        "AC-10",
        "JSON that is nested too deeply is nobody's error",
        (Edit("shared/web/body.py", "    except RecursionError:\n", "    except NotImplementedError:\n"),),
        ("tests/unit/shared/test_body.py", f"{_OVER_HTTP}test_abuse_redeeming.py"),
        "ac_10 and json",
    ),
    Weakening(
        "AC-11",
        "an unknown grant is taken for the code grant",
        (Edit(f"{_OAUTH}token_request.py", "if grant_type not in GRANT_TYPES:", "if not grant_type:"),),
        (f"{_OVER_HTTP}test_abuse_redeeming.py", f"{_UNIT}test_token_request.py"),
        "ac_11",
    ),
    Weakening(
        "AC-12",
        "the halves of Basic are not form-decoded",
        (
            Edit(
                f"{_OAUTH}client_authentication.py",
                'unquote_to_bytes(half.replace(b"+", b" ")).decode("utf-8")',
                'half.decode("utf-8")',
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_clients.py", f"{_UNIT}test_client_authentication.py"),
        "ac_12",
    ),
    Weakening(
        "AC-12",
        "base64 of Basic may hold anything",
        (Edit(f"{_OAUTH}client_authentication.py", "strict_mode=True", "strict_mode=False"),),
        (f"{_OVER_HTTP}test_abuse_clients.py", f"{_UNIT}test_client_authentication.py"),
        "ac_12",
    ),
    Weakening(
        "AC-13",
        "of two identities or secrets the first one counts",
        (
            Edit(
                f"{_OAUTH}client_authentication.py",
                "= (_one_method, _one_identity, _somebody)",
                "= (_somebody,)",
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_clients.py", f"{_UNIT}test_client_authentication.py"),
        "ac_13",
    ),
    Weakening(
        "AC-14",
        "an unknown client is told so",
        (
            Edit(
                "services/auth_api/client_access.py",
                '        raise invalid_client("unknown client")\n    check_secret_use',
                '        raise OAuthError("invalid_client", "There is no such client.")\n    check_secret_use',
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_clients.py",),
        "ac_14",
    ),
    Weakening(
        "AC-14",
        "wrong client secrets are not limited",
        (
            Edit(
                "services/auth_api/client_access.py",
                "    await check(resources, CLIENT_PEER, limit_key(credentials.client_id, peer))\n",
                "",
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_clients.py",),
        "ac_14",
    ),
    Weakening(
        "AC-15",
        "a replaced secret works for ever",
        (
            Edit(
                "services/auth_api/client.py",
                "self.old_secret_until is not None and now < self.old_secret_until:",
                "self.old_secret_until is not None:",
            ),
        ),
        (f"{_OVER_HTTP}test_abuse_clients.py", "tests/unit/auth_api/test_client.py"),
        "ac_15",
    ),
    Weakening(
        "AC-16",
        "a redirect URI may go on after the registered one",
        (
            Edit(
                f"{_OAUTH}redirect_uri.py",
                "    if requested in registered:\n",
                "    if any(requested.startswith(uri) for uri in registered):\n",
            ),
        ),
        (f"{_OVER_HTTP}test_authorization_endpoint.py", f"{_UNIT}test_redirect_uri.py"),
        "ac_16",
    ),
    Weakening(
        "AC-16",
        "a redirect URI is compared after parsing",
        (
            Edit(
                f"{_OAUTH}redirect_uri.py",
                "    if requested in registered:\n",
                "    from yarl import URL\n    if requested in registered or any(URL(requested) == URL(u) for u in registered):\n",
            ),
        ),
        (f"{_UNIT}test_redirect_uri.py",),
        "ac_16",
    ),
    Weakening(
        "AC-17",
        "errors are sent to a redirect URI that nobody registered",
        (
            Edit(
                f"{_OAUTH}authorization_request.py",
                "    if matched is None:\n",
                '    if matched is None and question.get("response_type") != "code":\n'
                "        matched = requested\n    if matched is None:\n",
            ),
        ),
        (f"{_OVER_HTTP}test_authorization_endpoint.py", f"{_UNIT}test_authorization_request.py"),
        "ac_17",
    ),
    Weakening(
        "AC-18",
        "schemes are refused by a list of bad ones",
        (
            Edit(
                f"{_OAUTH}redirect_uri.py",
                "    if _PRIVATE_SCHEME.match(uri):\n",
                '    if not uri.lower().startswith(("javascript:", "data:", "vbscript:")):\n',
            ),
        ),
        (f"{_UNIT}test_redirect_uri.py",),
        "ac_18",
    ),
    Weakening(
        "AC-18",
        "http is allowed on every host",
        (
            Edit(
                f"{_OAUTH}redirect_uri.py",
                'if uri.startswith("http:") and host["host"] not in _LOOPBACK_HOSTS:',
                'if uri.startswith("http:") and not host["host"]:',
            ),
        ),
        (f"{_UNIT}test_redirect_uri.py",),
        "ac_18",
    ),
    Weakening(
        "AC-19",
        "a redirect URI may carry our own parameters",
        (Edit(f"{_OAUTH}redirect_uri.py", "    _has_no_reserved_parameter,\n", ""),),
        (f"{_UNIT}test_redirect_uri.py",),
        "ac_19",
    ),
    Weakening(
        "AC-20",
        "a URL library builds the redirect",
        (
            Edit(
                "shared/redirect_location.py",
                '    if "?" not in uri:\n',
                "    from yarl import URL\n    if uri:\n        return str(URL(uri).update_query(tuple(parameters)))\n"
                '    if "?" not in uri:\n',
            ),
        ),
        ("tests/unit/shared/test_redirect_location.py", f"{_OVER_HTTP}test_authorization_endpoint.py"),
        "ac_20",
    ),
    Weakening(
        "AC-21",
        "any text is a scope",
        (Edit(f"{_OAUTH}scope.py", "    if not _GRAMMAR.fullmatch(scope):\n", "    if not scope:\n"),),
        (f"{_UNIT}test_scope.py",),
        "ac_21",
    ),
    Weakening(
        "AC-21",
        "every response_type is taken for code",
        (
            Edit(
                f"{_OAUTH}authorization_request.py",
                '    if response_type != "code":\n',
                "    if not response_type:\n",
            ),
        ),
        (f"{_OVER_HTTP}test_authorization_endpoint.py",),
        "ac_21",
    ),
    Weakening(
        "AC-22",
        "a success names no issuer",
        (
            Edit(
                f"{_OAUTH}authorization_response.py",
                '    return (*_carried(state, context), ("iss", issuer))\n\n\ndef declined',
                "    return _carried(state, context)\n\n\ndef declined",
            ),
        ),
        (f"{_UNIT}test_authorization_request.py",),
        "ac_22",
    ),
    Weakening(
        "AC-23",
        "redirects are 307, which posts the password or the consent again",
        (Edit("shared/web/redirects.py", "status=303", "status=307"),),
        ("tests/integration/test_edges_of_all.py",),
        "ac_23",
    ),
    Weakening(
        "AC-24",
        "a loopback redirect may have any host",
        (
            Edit(
                f"{_OAUTH}redirect_uri.py",
                'known.group("host", "rest") == asked.group("host", "rest")',
                'known.group("rest") == asked.group("rest")',
            ),
        ),
        (f"{_UNIT}test_redirect_uri.py",),
        "ac_24",
    ),
)
