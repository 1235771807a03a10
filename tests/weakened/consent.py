"""Weakenings of consent and sign-in: cases 25 to 41."""

from __future__ import annotations

from typing import Final

from tests.weakened.weakening import Edit, Weakening

_PAGES: Final = "tests/integration/consent_ui/"
_OVER_HTTP: Final = "tests/integration/oauth/"
_ACCOUNTS: Final = "tests/integration/auth_api/"
_DECIDED: Final = (
    "    if user is None or pending.session != command.session or pending.user_id != user.user_id:\n"
)

CONSENT: Final[tuple[Weakening, ...]] = (
    Weakening(
        "AC-25",
        "a form needs no token",
        (
            Edit(
                "services/consent_ui/forms.py",
                "    return session is not None and request.app[RESOURCES].csrf.accepts(session, name, form.one(TOKEN_FIELD))\n",
                "    return session is not None\n",
            ),
        ),
        (f"{_PAGES}test_deciding.py",),
        "token_belongs",
    ),
    Weakening(
        "AC-25",
        "a form may come from another site",
        (
            Edit(
                "services/consent_ui/forms.py",
                "    require_same_origin(request, request.app[RESOURCES].settings)\n",
                "",
            ),
        ),
        (f"{_PAGES}test_deciding.py",),
        "another_site",
    ),
    Weakening(
        "AC-26",
        "showing the page records the consent",
        (
            Edit(
                "services/auth_api/preparation.py",
                "    request_id = await store_pending(resources, pending)\n",
                "    request_id = await store_pending(resources, pending)\n"
                "    from services.auth_api.grants import record_grant\n"
                "    await record_grant(resources, user.user_id, client.client_id, request.permissions, begun_on)\n",
            ),
        ),
        (f"{_OVER_HTTP}test_consent.py", f"{_PAGES}test_consent_page.py"),
        "ac_26 or looking_grants",
    ),
    Weakening(
        "AC-27",
        "the form may name another redirect URI",
        (
            Edit(
                "services/consent_ui/handlers/consent_decision.py",
                "append_parameters(decided.redirect_uri, ",
                'append_parameters(form.one("redirect_uri") or decided.redirect_uri, ',
            ),
        ),
        (f"{_PAGES}test_deciding.py",),
        "follows_the_server",
    ),
    Weakening(
        "AC-27",
        "an id that no page was given is decided on as the last one",
        (
            Edit(
                "services/auth_api/pending_requests.py",
                "    if not _ID.fullmatch(request_id):\n        return None\n",
                "    request_id = request_id[-22:]\n",
            ),
        ),
        (f"{_OVER_HTTP}test_consent.py",),
        "ac_27",
    ),
    Weakening(
        "AC-28",
        "a session has one pending request",
        (
            Edit(
                "services/auth_api/pending_requests.py",
                "    request_id = random_base62(_ID_LENGTH)\n",
                "    request_id = pending.session[:_ID_LENGTH]\n",
            ),
        ),
        (f"{_OVER_HTTP}test_consent.py", f"{_PAGES}test_deciding.py"),
        "ac_28 or tabs",
    ),
    Weakening(
        "AC-29",
        "whoever knows a request may decide it",
        (Edit("services/auth_api/decisions.py", _DECIDED, "    if user is None:\n"),),
        (f"{_OVER_HTTP}test_consent.py",),
        "ac_29",
    ),
    Weakening(
        "AC-30",
        "prompt=none is not looked at",
        (
            Edit(
                "services/auth_api/oauth/authorization_request.py",
                'silent=question.get("prompt") == "none",',
                "silent=False,",
            ),
        ),
        (f"{_OVER_HTTP}test_authorization_endpoint.py",),
        "ac_30",
    ),
    Weakening(
        "AC-31",
        "pages may be framed",
        (
            Edit(
                "services/consent_ui/security_headers.py",
                "base-uri 'none'; frame-ancestors 'none'\"",
                "base-uri 'none'\"",
            ),
        ),
        (f"{_PAGES}test_edges.py",),
        "guarded",
    ),
    Weakening(
        "AC-32",
        "the consent page says where its form may lead",
        (
            Edit(
                "services/consent_ui/handlers/consent_request.py",
                "forms_stay_here=is_file",
                "forms_stay_here=True",
            ),
        ),
        (f"{_PAGES}test_consent_page.py",),
        "only_this_page",
    ),
    Weakening(
        "AC-33",
        "a second Accept gives a second good code",
        (
            Edit(
                "services/auth_api/code_scripts.py",
                "        if ARGV[5] ~= '' and redis.call('HGET', KEYS[6], 'state') == 'spent' then return 'spent' end\n",
                "",
            ),
            Edit(
                "services/auth_api/code_scripts.py",
                "        redis.call('HSET', KEYS[6], 'state', 'replaced')\n",
                "        redis.call('HGET', KEYS[6], 'state')\n",
            ),
        ),
        (f"{_OVER_HTTP}test_consent.py",),
        "ac_33",
    ),
    Weakening(
        "AC-34",
        "the session from before signing in stays alive",
        (
            Edit(
                "services/auth_api/sessions.py", "    if replaced is not None:\n", "    if replaced == '':\n"
            ),
        ),
        (f"{_ACCOUNTS}test_sessions.py",),
        "ac_34",
    ),
    Weakening(
        "AC-34",
        "the id that the browser brought is taken over",
        (
            Edit(
                "services/auth_api/sessions.py",
                "    session_id = random_base62(ID_LENGTH)\n",
                "    session_id, replaced = replaced or random_base62(ID_LENGTH), None\n",
            ),
        ),
        (f"{_ACCOUNTS}test_sessions.py",),
        "ac_34",
    ),
    Weakening(
        "AC-35",
        "scripts may read the session cookie",
        (
            Edit(
                "shared/web/cookies.py",
                "        httponly=True,",
                "        httponly=False,",
            ),
        ),
        (f"{_ACCOUNTS}test_sessions.py",),
        "ac_35",
    ),
    Weakening(
        "AC-36",
        "every text that begins with a slash is a path of ours",
        (
            Edit(
                "shared/return_to.py",
                r'r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*"',
                r'r"/[\x20-\x7e\t\r\n]*"',
            ),
        ),
        ("tests/unit/shared/test_return_to.py", f"{_ACCOUNTS}test_sessions.py"),
        "ac_36",
    ),
    Weakening(
        "AC-37",
        "wrong passwords are not limited by account",
        (
            Edit(
                "services/auth_api/accounts.py",
                "        await check(resources, SIGN_IN_ACCOUNT, counted)\n",
                "",
            ),
        ),
        (f"{_ACCOUNTS}test_throttle.py",),
        "ac_37 and account",
    ),
    Weakening(
        "AC-37",
        "wrong passwords are not limited by peer",
        (Edit("services/auth_api/accounts.py", "        await check(resources, SIGN_IN_PEER, peer)\n", ""),),
        (f"{_ACCOUNTS}test_throttle.py",),
        "ac_37 and one_peer",
    ),
    Weakening(
        "AC-37",
        "X-Forwarded-For is believed from anybody",
        (
            Edit("shared/web/peer.py", "    if settings.trusted_proxies:\n", "    if True:\n"),
            Edit("shared/web/peer.py", "address = hops[-settings.trusted_proxies]", "address = hops[0]"),
        ),
        (f"{_ACCOUNTS}test_throttle.py",),
        "ac_37 and forged",
    ),
    Weakening(
        "AC-38",
        "for an unknown user no password is hashed",
        (
            Edit(
                "services/auth_api/passwords.py",
                "        dummy = self._dummy()",
                "        if password_hash is None:\n            return False\n        dummy = self._dummy()",
            ),
        ),
        (f"{_ACCOUNTS}test_sessions.py",),
        "ac_38",
    ),
    Weakening(
        "AC-38",
        "an unknown user is told so",
        (
            Edit(
                "services/auth_api/handlers/session.py",
                '        raise not_signed_in(resources.settings, "Wrong username or password.")\n',
                "        known = await resources.database.fetchrow(\n"
                '            "find_user_by_name", credentials.username\n        )\n'
                "        raise not_signed_in(\n            resources.settings,\n"
                '            "Wrong password." if known else "Unknown user.",\n        )\n',
            ),
        ),
        (f"{_ACCOUNTS}test_sessions.py",),
        "ac_38 and look_the_same",
    ),
    Weakening(
        "AC-39",
        "passwords to hash may queue without end",
        (
            Edit(
                "services/auth_api/passwords.py",
                "        if self._taken >= LONGEST_QUEUE:\n",
                "        if self._taken < 0:\n",
            ),
        ),
        ("tests/unit/auth_api/test_passwords.py",),
        "ac_39",
    ),
    Weakening(
        "AC-41",
        "redirects name the host of the request",
        (
            Edit(
                "services/auth_api/handlers/session.py",
                "        response = see_other(credentials.return_to)\n",
                "        onward = request.url.with_path(credentials.return_to)\n"
                "        response = see_other(str(request.url.join(onward)))\n",
            ),
        ),
        (f"{_ACCOUNTS}test_sessions.py",),
        "ac_41",
    ),
    Weakening(
        "AC-41",
        "the issuer is the host of the request",
        (
            Edit(
                "services/auth_api/handlers/metadata.py",
                "document(settings.public_url,",
                "document(str(request.url.origin()),",
            ),
        ),
        ("tests/integration/test_edges_of_all.py",),
        "ac_41",
    ),
)
