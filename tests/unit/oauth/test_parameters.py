"""Parameters: at most once, empty is absent, unknown is ignored (RFC 6749 §3.1, §3.2)."""

from __future__ import annotations

from typing import Any

import pytest

from services.auth_api.oauth.errors import OAuthError
from services.auth_api.oauth.parameters import collect, collect_json

KNOWN = frozenset({"code", "client_id"})


@pytest.mark.spec("RFC 6749", "3.2", "A parameter must not be included more than once")
@pytest.mark.parametrize("values", [("a", "b"), ("a", "a"), ("", "a"), ("a", ""), ("", "")])
def test_ac_09_a_repeated_parameter_is_refused_and_has_no_value(values: tuple[str, str]) -> None:
    """Neither the first nor the last one wins."""
    parameters = collect([("code", values[0]), ("client_id", "x"), ("code", values[1])], KNOWN)
    assert parameters.get("code") is None
    assert parameters.get("client_id") == "x"
    with pytest.raises(OAuthError) as refused:
        parameters.refuse_repeated()
    assert refused.value.code == "invalid_request"
    assert "code" in refused.value.description


@pytest.mark.spec("RFC 6749", "3.2", "A parameter without a value counts as omitted")
def test_an_empty_parameter_is_absent() -> None:
    """``code=`` is no code."""
    parameters = collect([("code", ""), ("client_id", "x")], KNOWN)
    parameters.refuse_repeated()
    with pytest.raises(OAuthError) as refused:
        parameters.require("code")
    assert refused.value.description == "code is missing."


@pytest.mark.spec("RFC 6749", "3.1", "Unrecognised parameters are ignored")
@pytest.mark.spec("RFC 6749", "3.2", "Unrecognised parameters are ignored")
def test_an_unknown_parameter_is_ignored() -> None:
    """Also ``code[]``, which is another name, and one that is there twice."""
    parameters = collect([("code[]", "a"), ("x", "1"), ("x", "2")], KNOWN)
    parameters.refuse_repeated()
    assert dict(parameters.values) == {}


@pytest.mark.parametrize("value", [1, 1.5, True, ["a"], {"a": "b"}])
def test_a_json_field_must_be_text(value: Any) -> None:
    """Numbers, arrays and objects are named, not coerced."""
    with pytest.raises(OAuthError) as refused:
        collect_json({"code": value}, KNOWN)
    assert refused.value.description == "code must be text."


def test_null_and_empty_json_fields_are_absent() -> None:
    """As an empty parameter of a form is."""
    assert dict(collect_json({"code": None, "client_id": "", "x": 1}, KNOWN).values) == {}
