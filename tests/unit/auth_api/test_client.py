"""A registered client as the use cases see it (abuse case 15)."""

from __future__ import annotations

import pytest

from services.auth_api.client import Client

RESET_AT = 1_795_456_269_000
UNTIL = RESET_AT + 60_000


def a_client(secret: str | None, old: str | None, until: int | None) -> Client:
    """A client with these digests."""
    return Client(
        client_id="ABCDEF",
        name="Epic Games",
        author_id=1,
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
