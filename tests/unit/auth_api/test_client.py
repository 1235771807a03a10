"""A registered client as the use cases see it (abuse case 15)."""

from __future__ import annotations

import re

import orjson
import pytest

from services.auth_api.clients.model import Client
from shared.contracts.clients import ClientView

RESET_AT = 1_795_456_269_000
UNTIL = RESET_AT + 60_000


def a_client(secret: str | None, old: str | None, until: int | None) -> Client:
    """A client with these digests."""
    return Client(
        client_id="ABCDEF",
        name="Epic Games",
        author=1,
        author_name="a",
        redirect_uris=("https://client.example/cb",),
        requested_permissions=("customise_score",),
        api_key_format=None,
        api_key_filename=None,
        webhook_uri=None,
        homepage=None,
        description=None,
        public=secret is None,
        created_on=1,
        secret_digest=secret,
        old_secret_digest=old,
        old_secret_until=until,
    )


def test_a_client_on_the_bus_has_the_names_of_our_code_and_no_digest() -> None:
    """Peers of any version read it; only REST has other names."""
    told = orjson.loads(a_client("new", "old", UNTIL).view.to_wire())
    assert {"client_id", "redirect_uris", "api_key_format", "author_name", "old_secret_until"} <= set(told)
    assert not {name for name in told if "digest" in name or name != name.lower()}
    assert ClientView.from_wire(orjson.dumps(told)) == a_client("new", "old", UNTIL).view


def test_the_registration_digest_tells_what_a_consent_rests_on() -> None:
    """It changes with the redirect URIs and the permissions, their order included, and with nothing else."""
    client = a_client("new", None, None)
    digest = client.registration_digest
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert client.registration_digest is digest

    def digest_with(**changes: object) -> str:
        return Client.model_validate({**client.model_dump(), **changes}).registration_digest

    assert digest_with(name="Another", homepage="https://e.com", secret_digest="x") == digest
    others = {
        digest_with(redirect_uris=()),
        digest_with(redirect_uris=("https://client.example/cb", "https://client.example/2")),
        digest_with(redirect_uris=("https://client.example/2", "https://client.example/cb")),
        digest_with(redirect_uris=("https://client.example/cb", "customise_score"), requested_permissions=()),
        digest_with(requested_permissions=("customise_score", "submit_score")),
    }
    assert len(others - {digest}) == 5


@pytest.mark.parametrize(
    ("now", "live"),
    [
        (RESET_AT, ("new", "old")),
        (UNTIL - 1, ("new", "old")),
        (UNTIL, ("new",)),
        (UNTIL + 1, ("new",)),
    ],
)
def test_ac_15_the_old_secret_ends_with_its_overlap(now: int, live: tuple[str, ...]) -> None:
    """To the millisecond; the new one counts throughout."""
    assert a_client("new", "old", UNTIL).live_secret_digests(now) == live


def test_ac_15_an_old_secret_without_an_overlap_is_dead() -> None:
    """Whatever its row still holds."""
    assert a_client("new", "old", None).live_secret_digests(RESET_AT) == ("new",)


def test_a_public_client_has_no_secret() -> None:
    """Nothing authenticates it."""
    assert a_client(None, None, None).live_secret_digests(RESET_AT) == ()
