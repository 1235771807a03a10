"""Weakenings of consent, sign-in, authorisation and the device flow: cases 25 to 41 and 51 to 58."""

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
    without_call,
    without_line,
    without_operand,
)
from tests.weakened.weakening import Weakening, weaken

_DECIDING: Final = "consent_ui/test_deciding.py"
_CONSENT: Final = "oauth/test_consent.py"
_CONSENT_PAGE: Final = "consent_ui/test_consent_page.py"
_PAGES: Final = "consent_ui/test_edges.py"
_ACCOUNT: Final = "auth_api/test_account.py"
_RESETS: Final = "auth_api/test_password_resets.py"
_SESSIONS: Final = "auth_api/test_sessions.py"
_THROTTLE: Final = "auth_api/test_throttle.py"
_FAIR: Final = "auth_api/test_fair_sign_in.py"
_DEVICE: Final = "integration/oauth/test_device.py"
_FORGED: Final = "return _1.headers.get('X-Forwarded-For', str(_1.remote)).split(',')[0].strip()"
_RECORDED: Final = """
from services.auth_api.grants.store import record_grant
await record_grant(_1, user.user_id, client.client_id, request.permissions, begun_on)
"""
_LET_IN: Final = """
if command.surface == 'device':
    from services.auth_api.authorize.decide import decide_authorization
    from shared.contracts.authorization import DecideAuthorization
    await decide_authorization(_1, DecideAuthorization(request_id=request_id, session=session, decision='accept'))
"""
_TOLD: Final = """
not_signed_in(resources.settings, 'Wrong password.' if await resources.database.fetchrow(
    'find_user_by_name', credentials.username) else 'Unknown user.')
"""

CONSENT: Final[tuple[Weakening, ...]] = (
    weaken(
        25,
        "a form needs no token",
        _DECIDING,
        without_operand("is_of_session", "accepts"),
        picking="token_belongs",
    ),
    weaken(
        25,
        "a form may come from another site",
        _DECIDING,
        without_call("read_own_form", "require_same_origin"),
        picking="another_site",
    ),
    weaken(
        26,
        "showing the page records the consent",
        (_CONSENT, _CONSENT_PAGE),
        after_call("_consent_page@prepare_authorization", "store_pending", _RECORDED),
        picking="ac_26 or looking_grants",
    ),
    weaken(
        27,
        "the form may name another redirect URI",
        _DECIDING,
        rewritten_call(
            "decide_request", "append_parameters", "append_parameters(form.one('redirect_uri') or _1, _2)"
        ),
        picking="follows_the_server",
    ),
    weaken(
        27,
        "an id that no page was given is decided on as the last one",
        _CONSENT,
        before("find_pending", "_2 = _2[-22:]"),
    ),
    weaken(
        28,
        "a session has one pending request",
        (_CONSENT, _DECIDING),
        rewritten_call("store_pending", "random_base62", "pending.session[:_1]"),
        picking="ac_28 or tabs",
    ),
    weaken(
        29,
        "whoever knows a request may decide it",
        _CONSENT,
        without_operand("decide_authorization", "pending"),
    ),
    weaken(
        30,
        "prompt=none is not looked at",
        "oauth/test_authorization_endpoint.py",
        keyword("check_request", "silent", "False"),
    ),
    weaken(
        31,
        "pages may be framed",
        _PAGES,
        result("content_security_policy", "_.replace('; frame-ancestors', '; x-nothing')"),
        picking="guarded",
    ),
    weaken(
        32,
        "the consent page says where its form may lead",
        _CONSENT_PAGE,
        before("content_security_policy", "forms_stay_here = True"),
        picking="only_this_page",
    ),
    weaken(
        33,
        "a second Accept gives a second good code",
        _CONSENT,
        without_line("STORE", "'HGET'", "'spent'"),
        without_line("STORE", "'replaced'"),
    ),
    weaken(
        34, "the session from before signing in stays alive", _SESSIONS, never("start_session", "replaced")
    ),
    weaken(
        34,
        "the id that the browser brought is taken over",
        _SESSIONS,
        rewritten_call("start_session", "random_base62", "replaced or _"),
        never("start_session", "replaced"),
    ),
    weaken(35, "scripts may read the session cookie", _SESSIONS, keyword("set_cookie", "httponly", "False")),
    weaken(
        35,
        "a session outlives the password it was begun with",
        _ACCOUNT,
        never("read_session@_end_oldest", "session_epoch"),
        picking="ac_35",
    ),
    weaken(
        36,
        "every text that begins with a slash is a path of ours",
        ("shared/test_return_to.py", _SESSIONS),
        constant("_TARGET@read_target", "re.compile('/[\\\\x20-\\\\x7e\\\\t\\\\r\\\\n]*', re.ASCII)"),
    ),
    weaken(
        37,
        "wrong passwords are not limited by account",
        _THROTTLE,
        without_call("limited_guess", "check", "SIGN_IN_ACCOUNT"),
        picking="ac_37 and account",
    ),
    weaken(
        37,
        "wrong passwords are not limited by peer",
        _THROTTLE,
        without_call("limited_guess", "check", "SIGN_IN_PEER"),
        picking="ac_37 and one_peer",
    ),
    weaken(
        37,
        "X-Forwarded-For is believed from anybody",
        _THROTTLE,
        before("peer_of", _FORGED),
        picking="ac_37 and forged",
    ),
    weaken(
        38,
        "for an unknown user no password is hashed",
        _SESSIONS,
        before("PasswordHasher._matches", "if _2 is None:\n return False"),
    ),
    weaken(
        38,
        "an unknown user is told so",
        _SESSIONS,
        rewritten_call("create_session", "not_signed_in", _TOLD),
        picking="ac_38 and look_the_same",
    ),
    weaken(
        39,
        "passwords to hash may queue without end",
        "auth_api/test_passwords.py",
        never("FairExecutor._add", "_places"),
    ),
    weaken(
        39,
        "where the queue is full, whoever comes is refused",
        _FAIR,
        before("FairExecutor._displaced_by", "raise LineFullError"),
    ),
    weaken(
        39,
        "all peers wait in one line",
        _FAIR,
        rewritten_call("_verified@sign_in", "verify", "_0.verify(_1, _2, 'everybody')"),
    ),
    weaken(
        40,
        "a link sets as many passwords as there are forms at once",
        _RESETS,
        never("reset_password", "use_password_reset"),
        picking="ac_40",
    ),
    weaken(
        40,
        "opening the page uses the link up",
        _RESETS,
        before(
            "find_reset",
            "await resources.database.execute('use_password_reset', token_digest, resources.clock.now())",
        ),
        picking="ac_40",
    ),
    weaken(
        41,
        "redirects name the host of the request",
        _SESSIONS,
        rewritten_call(
            "_answer_with_session", "see_other", "see_other(str(request.url.join(request.url.with_path(_1))))"
        ),
    ),
    weaken(
        41,
        "the issuer is the host of the request",
        "integration/test_edges_of_all.py",
        rewritten_call(
            "metadata@_HEADERS",
            "document",
            "document(str(request.url.origin()), _2, registration=settings.registration)",
        ),
    ),
)
"""Of consent and of signing in."""

OWNERSHIP: Final[tuple[Weakening, ...]] = (
    weaken(
        51,
        "unknown fields of a client are ignored",
        "auth_api/test_clients.py",
        rewritten_call("_ClientBody", "ConfigDict", "ConfigDict(extra='ignore', strict=True)"),
    ),
    weaken(
        52,
        "anybody may read a client as its author does",
        ("auth_api/test_console.py", "auth_api/test_clients.py"),
        never("read_own_client", "author_id"),
    ),
    weaken(
        53,
        "a key's id is enough to revoke it",
        "auth_api/test_keys.py",
        keyword("revoke_key@list_keys", "user_id", "None", "RevokeKey"),
    ),
    weaken(
        53,
        "a client may revoke the keys of another",
        ("key_issuer/test_revocation.py", "oauth/test_exchange.py"),
        without_operand("revoke_token@end_leaked", "client_id"),
        picking="own_keys_only or own_key_alone",
    ),
    weaken(
        53,
        "who knows a key's id may report it as leaked",
        ("key_issuer/test_leak_reports.py", "key_issuer/test_status.py"),
        rewritten_call("_presented@end_leaked", "is_known", "row is not None"),
        picking="guessed",
    ),
    weaken(
        53,
        "any signature is that of the partner who reports leaked keys",
        "key_issuer/test_leak_reports.py",
        before("has_signed@read_partner_keys", "return True"),
        picking="signature or changed_body",
    ),
    weaken(
        54,
        "codes and pages survive the disconnection of their app",
        ("auth_api/test_apps.py", _DEVICE),
        without_call("revoke_grant@Resources", "revoke_before"),
        before("_is_withdrawn", "return None"),
    ),
    weaken(
        54,
        "a withdrawn consent's code is redeemed",
        "auth_api/test_codes.py",
        without_line("REDEEM", "'withdrawn'"),
        picking="not_good",
    ),
    weaken(
        55,
        "a code outlives the redirect URI and the permissions it was given for",
        "oauth/test_keys_live.py",
        before("check_still_allowed", "return None"),
        picking="a_code_dies",
    ),
    weaken(
        55,
        "whether a client has changed is not compared when a code is redeemed",
        "oauth/test_keys_live.py",
        before("circumstances", "return ''"),
        picking="a_code_dies",
    ),
    weaken(
        55,
        "a page that was shown can be accepted whatever was removed since",
        _CONSENT,
        before("is_stale", "return False"),
    ),
    weaken(
        55,
        "a disabled account goes on",
        "auth_api/test_apps.py",
        without_operand("find_active_user", "disabled_on"),
        without_operand("read_session@IDLE_SECONDS", "session_epoch"),
    ),
    weaken(
        56,
        "wrong user codes are not counted",
        _DEVICE,
        without_call("look_up", "note_failure"),
        picking="ac_56 and guessing",
    ),
    weaken(
        56,
        "a user code may be looked up without end",
        _DEVICE,
        constant("MOST_LOOK_UPS", "10**9"),
        picking="ac_56 and dies",
    ),
    weaken(
        57,
        "whoever knows a request may let the device in",
        _DEVICE,
        without_operand("decide_authorization", "pending"),
    ),
    weaken(
        57,
        "opening the address with the code lets the device in",
        _PAGES,
        after_call("_consent_page@prepare_authorization", "store_pending", _LET_IN),
        picking="a_device_is_connected",
    ),
    weaken(
        58,
        "a device code is not bound to its client",
        _DEVICE,
        without_operand("_explain_device", "client_id"),
    ),
    weaken(
        58,
        "a device may poll as fast as it likes",
        _DEVICE,
        without_line("DEVICE_POLL", "'slow_down'"),
        picking="test_the_device_flow",
    ),
)
"""Of who may do what to whose."""
