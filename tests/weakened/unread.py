"""Weakenings of the one script that spends a code unread: each of its conditions is a rule of the exchange."""

from __future__ import annotations

from typing import Final

from tests.weakened.weakening import Edit, Weakening

_SCRIPTS: Final = "services/auth_api/code_scripts.py"
_UNREAD: Final = "tests/integration/auth_api/test_codes.py"

UNREAD: Final[tuple[Weakening, ...]] = (
    Weakening(
        "AC-02",
        "a code is spent unread though it is spent",
        (Edit(_SCRIPTS, "    if code[1] ~= '' or tonumber(code[3])", "    if tonumber(code[3])"),),
        (_UNREAD,),
        "not_good",
    ),
    Weakening(
        "AC-03",
        "a code that is redeemed unread is not bound to its client",
        (Edit(_SCRIPTS, " or record.client_id ~= ARGV[1]", ""),),
        (_UNREAD,),
        "something_else",
    ),
    Weakening(
        "AC-04",
        "redirect_uri is not compared when a code is redeemed unread",
        (
            Edit(
                _SCRIPTS,
                "    if ARGV[2] ~= '' and text('redirect_uri') ~= ARGV[2] then return false end\n",
                "",
            ),
        ),
        (_UNREAD,),
        "something_else",
    ),
    Weakening(
        "AC-04",
        "redirect_uri may be left out when a code is redeemed unread",
        (Edit(_SCRIPTS, "    if ARGV[2] == '' and record.redirect_uri_sent then return false end\n", ""),),
        (_UNREAD,),
        "something_else",
    ),
    Weakening(
        "AC-05",
        "any verifier is good enough when a code is redeemed unread",
        (Edit(_SCRIPTS, "    if text('challenge') ~= ARGV[3] then return false end\n", ""),),
        (_UNREAD,),
        "something_else",
    ),
    Weakening(
        "AC-08",
        "an expired code is redeemed unread",
        (Edit(_SCRIPTS, " or tonumber(code[3]) <= now then return false end", " then return false end"),),
        (_UNREAD,),
        "not_good",
    ),
    Weakening(
        "AC-54",
        "a withdrawn consent's code is redeemed unread",
        (
            Edit(
                _SCRIPTS,
                "    if withdrawn(record.consented_on,",
                "    if not record and withdrawn(record.consented_on,",
            ),
        ),
        (_UNREAD,),
        "not_good",
    ),
)
