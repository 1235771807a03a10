"""The checks before a code is spent (RFC 6749 §4.1.3, RFC 7636 §4.6)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from services.auth_api.oauth.authorization_code import (
    CodeRecord,
    Redemption,
    WrongClientError,
    check_binding,
    check_still_allowed,
)
from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.pkce import challenge_of

CALLBACK = "https://client.example/cb"
VERIFIER = "A" * 43
RECORD = CodeRecord(
    kind="code",
    client_id="abc",
    user_id=2,
    username="b",
    permissions=("customise_score",),
    consented_on=1,
    redirect_uri=CALLBACK,
    redirect_uri_sent=True,
    challenge=challenge_of(VERIFIER),
)
RIGHT = Redemption("abc", CALLBACK, VERIFIER)


def test_the_right_request_passes() -> None:
    """Everything as it was when the person consented."""
    check_binding(RECORD, RIGHT)


@pytest.mark.spec("RFC 6749", "4.1.3", "A code is bound to the client it was issued to")
def test_ac_03_another_clients_code_is_invalid_grant() -> None:
    """Told like any bad code, whatever else is right."""
    with pytest.raises(WrongClientError) as refused:
        check_binding(RECORD, replace(RIGHT, client_id="other"))
    assert refused.value.code == "invalid_grant"


@pytest.mark.spec("RFC 6749", "4.1.3", "redirect_uri must be repeated where the request carried it")
@pytest.mark.parametrize(
    "redirect_uri",
    [None, CALLBACK + "/", CALLBACK.upper(), CALLBACK + "?x=1", "https://client.example/other", "é"],
)
def test_ac_04_the_redirect_uri_must_be_the_same(redirect_uri: str | None) -> None:
    """Absent, another registered one, or a byte off."""
    with pytest.raises(OAuthError, match="invalid_grant"):
        check_binding(RECORD, replace(RIGHT, redirect_uri=redirect_uri))


@pytest.mark.spec("RFC 6749", "4.1.3", "redirect_uri is optional where the request carried none")
def test_the_redirect_uri_is_optional_where_the_request_carried_none() -> None:
    """But if it is sent, it must be the one that was used."""
    record = replace(RECORD, redirect_uri_sent=False)
    check_binding(record, replace(RIGHT, redirect_uri=None))
    check_binding(record, RIGHT)
    with pytest.raises(OAuthError, match="invalid_grant"):
        check_binding(record, replace(RIGHT, redirect_uri=CALLBACK + "/"))


def test_the_verifier_is_checked_last() -> None:
    """Nothing about the verifier is told to whoever does not know the rest."""
    with pytest.raises(OAuthError) as refused:
        check_binding(RECORD, Redemption("abc", CALLBACK + "/", "B" * 43))
    assert "redirect_uri" in refused.value.cause
    with pytest.raises(OAuthError) as refused:
        check_binding(RECORD, replace(RIGHT, verifier="B" * 43))
    assert "verifier" in refused.value.cause


def test_a_record_survives_its_storage() -> None:
    """Also one that a newer version wrote."""
    assert CodeRecord.from_bytes(RECORD.to_bytes()) == RECORD
    newer = RECORD.to_bytes()[:-1] + b',"added_later":1}'
    assert CodeRecord.from_bytes(newer) == RECORD


def test_the_binding_that_is_compared_says_what_the_rules_say() -> None:
    """Every way to bind a code against every way to present it: equal names and values exactly where no rule objects."""
    kept = product(
        ("abc", "other"),
        ((None, False), (CALLBACK, False), (CALLBACK, True)),
        (None, challenge_of(VERIFIER), VERIFIER),
    )
    presented = [
        Redemption(client_id, uri, verifier)
        for client_id in ("abc", "other")
        for uri in (None, CALLBACK, CALLBACK + "/")
        for verifier in (None, VERIFIER, "B" * 43)
    ]
    for client_id, (uri, sent), challenge in kept:
        record = replace(
            RECORD, client_id=client_id, redirect_uri=uri, redirect_uri_sent=sent, challenge=challenge
        )
        for redemption in presented:
            try:
                check_binding(record, redemption)
                right = True
            except OAuthError:
                right = False
            assert (redemption.binding.items() <= record.binding.items()) == right, (record, redemption)


def test_a_code_outlives_neither_its_redirect_uri_nor_its_permissions() -> None:
    """What the person agreed to must still exist; any port of a loopback address does (RFC 8252 §7.3)."""
    check_still_allowed(RECORD, ["https://client.example/other", CALLBACK], ["customise_score"])
    local = replace(RECORD, redirect_uri="http://127.0.0.1:5000/cb")
    check_still_allowed(local, ["http://127.0.0.1/cb"], ["customise_score"])
    check_still_allowed(replace(RECORD, redirect_uri=None), [], ["customise_score"])
    for uris, permissions in (
        ([], ["customise_score"]),
        ([CALLBACK + "/"], ["customise_score"]),
        ([CALLBACK], []),
    ):
        with pytest.raises(OAuthError, match="invalid_grant"):
            check_still_allowed(RECORD, uris, permissions)
