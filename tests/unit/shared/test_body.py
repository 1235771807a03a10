"""Strict bodies: what a form or a JSON object may hold, and how refusals name the field."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from shared.web.body import MOST_PAIRS, parse_json_object, parse_pairs, validated
from shared.web.error_renderers import description
from shared.web.failures import Problem


class Body(BaseModel):
    """A sample body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    size: int = Field(1, ge=1)
    kind: Literal["red", "green"] = "red"
    marks: list[str] = []
    open: bool = False


def test_pairs_keep_order_and_duplicates() -> None:
    """Whoever checks for duplicates must be able to see them."""
    assert parse_pairs(b"a=1&b=%2B+c&a=2&&d", "body") == [("a", "1"), ("b", "+ c"), ("a", "2"), ("d", "")]


@pytest.mark.parametrize("raw", [b"a=%ff", b"a=%00", b"%00=a", b"a=\xff", b"a=%ed%a0%80", b"a=%c0%af"])
def test_ac_48_text_that_no_store_can_hold_is_a_400(raw: bytes) -> None:
    """NUL, overlong and surrogate encodings are refused at the edge."""
    with pytest.raises(Problem) as refused:
        parse_pairs(raw, "body")
    assert refused.value.failure.status == 400
    assert refused.value.failure.errors


def test_too_many_pairs_are_refused() -> None:
    """Ten thousand parameters are no request of ours."""
    with pytest.raises(Problem):
        parse_pairs(b"&".join([b"a=1"] * 10_000), "query")


@given(st.binary(max_size=200))
def test_any_bytes_give_pairs_or_a_400(raw: bytes) -> None:
    """No input ends in anything but pairs or a refusal."""
    with suppress(Problem):
        assert all("\0" not in name + value for name, value in parse_pairs(raw, "body"))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":"\\u0000"}',
        b'{"a":"\\ud800"}',
        b'{"\\u0000":1}',
        b'{"a":"\xff"}',
        b"[" * 200_000,
        b'{"a":' * 50 + b"1" + b"}" * 50,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_ac_10_malformed_json_is_a_400(raw: bytes) -> None:
    """Deep nesting, huge numbers, duplicates, NUL, lone surrogates: a refusal, never an error of ours."""
    with pytest.raises(Problem) as refused:
        parse_json_object(raw)
    assert refused.value.failure.status == 400


@pytest.mark.parametrize("text", ["\\u0000", "a\\u0000b", "\\ud800", "\\udfff x", "\\udc00\\ud800"])
@pytest.mark.parametrize("shape", ['{"a":"%s"}', '{"%s":1}', '{"a":{"b":["%s"]}}', '{"a":[{"%s":1}]}'])
def test_ac_48_json_text_that_no_store_can_hold_is_a_400(text: str, shape: str) -> None:
    """NUL and lone surrogates, escaped as JSON allows, in values and in names, at any depth; the field is named."""
    with pytest.raises(Problem) as refused:
        parse_json_object((shape % text).encode())
    assert refused.value.failure.status == 400
    assert refused.value.failure.errors


@pytest.mark.parametrize("value", ["[]", "{}", '""', "0", '{"":0}', "[[0,0]]", "[0,[0,[0,[]]]]"])
def test_a_body_of_nothing_but_values_is_a_400(value: str) -> None:
    """Each of them would be looked at: as many as 64 KiB hold cost what a thousand honest requests do."""
    many = ",".join([value] * 4_000)
    with pytest.raises(Problem) as refused:
        parse_json_object(f'{{"a":[{many}]}}'.encode())
    assert refused.value.failure.detail == "The JSON holds too many values."


def test_a_list_as_long_as_honest_ones_is_taken() -> None:
    """Lists of permissions and addresses have a hundred items, not thousands."""
    assert len(parse_json_object(b'{"a":[' + b'"submit_score",' * 1_000 + b'""]}')["a"]) == 1_001


def test_ac_48_a_pair_of_surrogates_is_one_character() -> None:
    """What JSON escapes beyond the basic plane is text as any other."""
    assert parse_json_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize("raw", [b'{"a":1,"b":2,"b":3}', b'{"a":{"b":1,"b":1}}'])
def test_a_repeated_json_name_is_named(raw: bytes) -> None:
    """Whoever sent it learns which."""
    with pytest.raises(Problem) as refused:
        parse_json_object(raw)
    assert refused.value.failure.detail == "b must not be there twice."
    assert [error.field for error in refused.value.failure.errors] == ["b"]


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        ({"name": 1}, "name", "must be text"),
        ({"name": ""}, "name", "must be 1 or more characters long"),
        ({"name": "a", "size": "1"}, "size", "must be a whole number"),
        ({"name": "a", "size": 1.5}, "size", "must be a whole number"),
        ({"name": "a", "size": 0}, "size", "must be at least 1"),
        ({"name": "a", "kind": "blue"}, "kind", "must be 'red' or 'green'"),
        ({"name": "a", "marks": "x"}, "marks", "must be a list"),
        ({"name": "a", "marks": [1]}, "marks.0", "must be text"),
        ({"name": "a", "open": "yes"}, "open", "must be true or false"),
    ],
)
def test_a_wrong_field_is_told_in_our_words(body: dict[str, object], field: str, detail: str) -> None:
    """Each detail goes on after the field's name, as those of our own rules do."""
    with pytest.raises(Problem) as refused:
        validated(Body, body)
    assert [(error.field, error.detail) for error in refused.value.failure.errors] == [(field, detail)]


def test_wrong_fields_are_named_without_their_values() -> None:
    """Each wrong, missing or unknown field is in ``errors``; what was sent is not."""
    with pytest.raises(Problem) as refused:
        validated(Body, {"size": "hunter2", "colour": "red"})
    failure = refused.value.failure
    assert {error.field for error in failure.errors} == {"name", "size", "colour"}
    assert "hunter2" not in str(failure)


def test_a_refusal_names_the_first_wrong_fields_and_each_cut_short() -> None:
    """However many there are, however long and deep: the sentence says that there are more."""
    many: dict[str, object] = {"x" * 300 + str(number): 0 for number in range(100)}
    for body in (many, {"name": "a", "marks": [0] * 10_000}):
        with pytest.raises(Problem) as refused:
            validated(Body, body)
        failure = refused.value.failure
        assert len(failure.errors) == 10
        assert len(failure.detail) < 1_000
        assert failure.detail.endswith(" and more.")
        assert all(len(error.field) <= 60 for error in failure.errors)
    with pytest.raises(Problem) as refused:
        parse_json_object(f'{{"{"x" * 20_000}":{"[" * 9}"\\u0000"{"]" * 9}}}'.encode())
    assert len(refused.value.failure.detail) < 200


@pytest.mark.spec("RFC 6749", "5.2", "error_description holds only %x20-21 / %x23-5B / %x5D-7E")
def test_a_description_keeps_to_its_character_set() -> None:
    """Quotes, backslashes, controls and letters beyond ASCII are replaced."""
    assert description('a "b" \\ é\n') == "a 'b' / ??"


def test_the_members_of_an_object_are_capped_and_looked_at_once() -> None:
    """Twice the input takes twice the steps: the last of many names repeated costs no search for each of them."""
    many = [f'"n{number}":0' for number in range(MOST_PAIRS)]
    assert len(parse_json_object(f"{{{','.join(many)}}}".encode())) == MOST_PAIRS
    for members in ([*many, '"x":0'], [*many, '"n199":0'], [f'"n{number}":0' for number in range(8000)]):
        with pytest.raises(Problem, match="members"):
            parse_json_object(f"{{{','.join(members)}}}".encode())
    with pytest.raises(Problem, match="n198 must not be there twice"):
        parse_json_object(f"{{{','.join([*many[:-1], many[-2]])}}}".encode())
