"""What becomes of a command to make a key, rule by rule."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pydantic import ValidationError

from services.key_issuer.issuance import count_by_grant, first_of_each, surplus_at_birth
from services.key_issuer.records import NOTHING_KNOWN, IssueFacts
from services.key_issuer.rules import Candidate, judge
from shared.contracts.keys import IssueKey

SOUND = IssueKey(
    key_id="k" * 16,
    digest="d" * 64,
    code_digest="c" * 64,
    user_id=2,
    username="b",
    client_id="CX",
    identifier="Epic Games",
    permissions=("customise_score",),
    consented_on=1000,
    origin="code",
)
OTHER = IssueFacts(key_id="o" * 16, user_id=2, client_id="CX")


def variant(**fields: object) -> IssueKey:
    """The sound command with other fields."""
    return IssueKey.model_validate({**dict(SOUND), **fields})


def verdict(command: IssueKey = SOUND, facts: IssueFacts = NOTHING_KNOWN, void_before: int = 0) -> str:
    """What is decided."""
    return judge(Candidate(command, facts, void_before))


def test_a_new_key_is_made() -> None:
    """Where nothing is known, a row is made."""
    assert verdict() == "make"


def test_the_same_key_again_is_answered_from_its_row() -> None:
    """A second delivery changes nothing, also after the consent ended."""
    stored = IssueFacts(stored=True, key_id=SOUND.key_id, user_id=2, client_id="CX")
    assert verdict(facts=stored, void_before=5000) == "stored"


def test_a_key_id_of_another_grant_is_refused() -> None:
    """Nobody is told of another person's key by asking for its id."""
    assert verdict(facts=IssueFacts(stored=True, key_id=SOUND.key_id, user_id=3, client_id="CX")) == "used"


@pytest.mark.parametrize(
    ("void_before", "expected"), [(999, "make"), (1000, "withdrawn"), (1001, "withdrawn")]
)
def test_a_withdrawn_consent_gives_no_key(void_before: int, expected: str) -> None:
    """A consent at or before the mark is void; a later one is not."""
    assert verdict(void_before=void_before) == expected


def test_a_key_whose_code_was_replayed_is_born_dead() -> None:
    """RFC 6749 §4.1.2: the replay came first, the row comes later and is revoked."""
    assert verdict(facts=IssueFacts(replayed=True)) == "make_dead"


def test_a_key_that_was_given_up_is_not_made() -> None:
    """The requester may hold another key of this code; a row that is there already is answered as that."""
    assert verdict(facts=IssueFacts(abandoned=True)) == "superseded"
    assert verdict(facts=replace(OTHER, abandoned=True)) == "superseded"
    stored = IssueFacts(stored=True, key_id=SOUND.key_id, user_id=2, client_id="CX", abandoned=True)
    assert verdict(facts=stored) == "stored"


def test_another_key_of_the_code_gives_way_if_it_was_given_up() -> None:
    """Alive, ended for that, or pushed out; not where the code came back meanwhile."""
    again = variant(abandoned=("x" * 16, OTHER.key_id))
    assert verdict(again, OTHER) == "replace"
    for reason in ("abandoned", "evicted"):
        assert verdict(again, replace(OTHER, status="revoked", end_reason=reason)) == "replace"
    assert verdict(again, replace(OTHER, status="revoked", end_reason="owner")) == "used"
    assert verdict(again, replace(OTHER, replayed=True)) == "end_other"
    assert verdict(again, OTHER, void_before=1000) == "withdrawn"


def test_another_key_of_the_code_dies_otherwise() -> None:
    """Redis forgot and the code was redeemed twice: PostgreSQL remembers."""
    assert verdict(SOUND, OTHER) == "end_other"
    assert verdict(variant(abandoned=("x" * 16,)), OTHER) == "end_other"


@pytest.mark.parametrize(
    "facts",
    [
        replace(OTHER, status="revoked", end_reason="code_replayed"),
        replace(OTHER, user_id=3),
        replace(OTHER, client_id="CY"),
    ],
)
def test_a_code_whose_key_ended_or_is_anothers_gives_none(facts: IssueFacts) -> None:
    """And what is there is not touched."""
    assert verdict(variant(abandoned=(OTHER.key_id,)), facts) == "used"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"key_id": "short"}, "key_id"),
        ({"key_id": "k" * 15 + "\n"}, "key_id"),
        ({"key_id": "ä" * 16}, "key_id"),
        ({"digest": "D" * 64}, "digest"),
        ({"digest": "d" * 63}, "digest"),
        ({"code_digest": ""}, "code_digest"),
        ({"abandoned": ("short",)}, "abandoned"),
        ({"abandoned": ("k" * 16,) * 101}, "abandoned"),
        ({"binding": {"a\0b": "c"}}, "binding"),
        ({"binding": {"a": "x" * 501}}, "binding"),
        ({"binding": {str(number): "x" for number in range(21)}}, "binding"),
        ({"user_id": 0}, "user_id"),
        ({"user_id": 2**63}, "user_id"),
        ({"consented_on": -1}, "consented_on"),
        ({"expires_on": 2**63}, "expires_on"),
        ({"username": "b\r\nX-Evil: 1"}, "username"),
        ({"username": "ü"}, "username"),
        ({"client_id": ""}, "client_id"),
        ({"client_id": "a b"}, "client_id"),
        ({"identifier": ""}, "identifier"),
        ({"identifier": "a\0b"}, "identifier"),
        ({"identifier": "\ud800"}, "identifier"),
        ({"identifier": "x" * 501}, "identifier"),
        ({"label": ""}, "label"),
        ({"permissions": ()}, "permissions"),
        ({"permissions": ("a b", "")}, "permissions"),
        ({"permissions": ('a"b',)}, "permissions"),
    ],
)
def test_what_no_sender_should_send_is_named(fields: dict[str, object], named: str) -> None:
    """The sender fails, and the issuer, which does not believe that everything on the bus was checked."""
    with pytest.raises(ValidationError) as refused:
        variant(**fields)
    assert {fault["loc"][0] for fault in refused.value.errors()} == {named}
    with pytest.raises(ValidationError):
        IssueKey.from_wire(json.dumps({**dict(SOUND), **fields}).encode())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"code_digest": None, "client_id": None},
        {"identifier": "Épic 🎮 Games"},
        {"expires_on": 1},
        {"binding": {"challenge": ""}, "label": "tablet"},
    ],
)
def test_sound_commands_have_no_fault(fields: dict[str, object]) -> None:
    """Names of people and programs may be in any script."""
    assert IssueKey.from_wire(variant(**fields).to_wire()) == variant(**fields)


def test_commands_that_share_a_key_or_a_code_wait_for_each_other() -> None:
    """The second sees what the first did; the others go ahead together."""
    commands = [
        variant(key_id="a" * 16, code_digest="1" * 64),
        variant(key_id="b" * 16, code_digest="2" * 64),
        variant(key_id="a" * 16, code_digest="1" * 64),
        variant(key_id="c" * 16, code_digest="2" * 64),
        variant(key_id="d" * 16, code_digest=None),
        variant(key_id="e" * 16, code_digest=None),
    ]
    assert first_of_each(commands, range(6)) == ([0, 1, 4, 5], [2, 3])


def test_keys_are_counted_into_their_grants() -> None:
    """A person's own keys are counted too."""
    commands = [SOUND, SOUND, variant(client_id=None), variant(user_id=7)]
    assert count_by_grant(commands) == {(2, "CX"): 2, (2, ""): 1, (7, "CX"): 1}


def test_a_batch_pushes_out_its_own_oldest() -> None:
    """Only the newest ten of one grant are born alive; a person's own keys are not limited."""
    commands = [variant(key_id=f"{number:016}") for number in range(13)]
    own = [variant(key_id=f"p{number:015}", client_id=None) for number in range(13)]
    assert surplus_at_birth(commands + own) == {f"{number:016}" for number in range(3)}
