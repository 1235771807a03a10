"""Weakenings of authorisation and of the device flow: cases 51 to 58."""

from __future__ import annotations

from typing import Final

from tests.weakened.weakening import Edit, Weakening

_PAGES: Final = "tests/integration/consent_ui/"
_OVER_HTTP: Final = "tests/integration/oauth/"
_ACCOUNTS: Final = "tests/integration/auth_api/"
_DECIDED: Final = (
    "    if user is None or pending.session != command.session or pending.user_id != user.user_id:\n"
)

OWNERSHIP: Final[tuple[Weakening, ...]] = (
    Weakening(
        "AC-51",
        "unknown fields of a client are ignored",
        (
            Edit(
                "services/auth_api/handlers/clients.py",
                "    model_config = ConfigDict(strict=True)\n",
                '    model_config = ConfigDict(extra="ignore", strict=True)\n',
            ),
        ),
        (f"{_ACCOUNTS}test_clients.py",),
        "ac_51",
    ),
    Weakening(
        "AC-52",
        "anybody may read a client as its author does",
        (
            Edit(
                "services/auth_api/clients.py",
                "    if client.author != author_id:\n",
                "    if author_id < 0:\n",
            ),
        ),
        (f"{_ACCOUNTS}test_console.py", f"{_ACCOUNTS}test_clients.py"),
        "ac_52",
    ),
    Weakening(
        "AC-53",
        "a key's id is enough to revoke it",
        (
            Edit(
                "services/auth_api/personal_keys.py",
                "RevokeKey(key_id=key_id, user_id=user_id,",
                "RevokeKey(key_id=key_id, user_id=None,",
            ),
        ),
        (f"{_ACCOUNTS}test_keys.py",),
        "ac_53",
    ),
    Weakening(
        "AC-53",
        "a client may revoke the keys of another",
        (
            Edit(
                "services/key_issuer/revocation.py",
                'return row if row is not None and row["client_id"] == command.client_id else None',
                "return row",
            ),
        ),
        ("tests/integration/key_issuer/test_revocation.py", f"{_OVER_HTTP}test_exchange.py"),
        "own_keys_only or own_key_alone",
    ),
    Weakening(
        "AC-54",
        "codes and pages survive the disconnection of their app",
        (
            Edit(
                "services/auth_api/endings.py",
                "    await codes.void(resources, user_id=user_id, client_id=client_id, on=before)\n",
                "",
            ),
            Edit(
                "services/key_issuer/rules.py",
                'return "withdrawn" if candidate.command.consented_on <= candidate.void_before else None',
                "return None",
            ),
        ),
        (f"{_ACCOUNTS}test_apps.py", f"{_OVER_HTTP}test_device.py"),
        "ac_54",
    ),
    Weakening(
        "AC-55",
        "a page that was shown can be accepted whatever was removed since",
        (
            Edit(
                "services/auth_api/consents.py",
                "    target = consent.request.target\n    if target is not None and match",
                "    target = consent.request.target\n    if target != 0:\n        return False\n"
                "    if target is not None and match",
            ),
        ),
        (f"{_OVER_HTTP}test_consent.py",),
        "ac_55",
    ),
    Weakening(
        "AC-55",
        "a disabled account goes on",
        (
            Edit(
                "services/auth_api/accounts.py",
                '    if row is None or row["disabled_on"] is not None:\n',
                "    if row is None:\n",
            ),
        ),
        (f"{_ACCOUNTS}test_apps.py",),
        "ac_55",
    ),
    Weakening(
        "AC-56",
        "wrong user codes are not counted",
        (
            Edit(
                "services/auth_api/device_codes.py",
                "        await note_failure(resources, USER_CODE, limit_key)\n",
                "",
            ),
        ),
        (f"{_OVER_HTTP}test_device.py",),
        "ac_56 and guessing",
    ),
    Weakening(
        "AC-56",
        "a user code may be looked up without end",
        (
            Edit(
                "services/auth_api/device_codes.py",
                "MOST_LOOK_UPS: Final = 30",
                "MOST_LOOK_UPS: Final = 10**9",
            ),
        ),
        (f"{_OVER_HTTP}test_device.py",),
        "ac_56 and dies",
    ),
    Weakening(
        "AC-57",
        "whoever knows a request may let the device in",
        (Edit("services/auth_api/decisions.py", _DECIDED, "    if user is None:\n"),),
        (f"{_OVER_HTTP}test_device.py",),
        "ac_57",
    ),
    Weakening(
        "AC-57",
        "opening the address with the code lets the device in",
        (
            Edit(
                "services/auth_api/preparation.py",
                "    request_id = await store_pending(resources, pending)\n",
                "    request_id = await store_pending(resources, pending)\n"
                "    if command.surface == 'device':\n"
                "        from shared.contracts.authorization import DecideAuthorization\n"
                "        await resources.bus.request(\n"
                "            DecideAuthorization(request_id=request_id, session=session, decision='accept')\n"
                "        )\n",
            ),
        ),
        (f"{_PAGES}test_edges.py",),
        "a_device_is_connected",
    ),
    Weakening(
        "AC-58",
        "a device code is not bound to its client",
        (
            Edit(
                "services/auth_api/token_exchange.py",
                "    if stored.record.client_id != exchange.client.client_id:\n",
                '    if stored.record.client_id == "":\n',
            ),
        ),
        (f"{_OVER_HTTP}test_device.py",),
        "ac_58",
    ),
    Weakening(
        "AC-58",
        "a device may poll as fast as it likes",
        (
            Edit(
                "services/auth_api/code_scripts.py",
                "        if code[3] and now - tonumber(code[3]) < tonumber(ARGV[1]) then return 'slow_down' end\n",
                "",
            ),
        ),
        (f"{_OVER_HTTP}test_device.py",),
        "test_the_device_flow",
    ),
)
