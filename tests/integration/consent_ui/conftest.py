"""Somebody who registers clients, and somebody who is asked."""

from __future__ import annotations

import pytest

from tests.harness.site import Client, Person, Site


@pytest.fixture
async def author(site: Site) -> Person:
    """The developer of an app."""
    return await site.sign_up()


@pytest.fixture
async def person(site: Site) -> Person:
    """A person with an account."""
    return await site.sign_up()


@pytest.fixture
async def client(author: Person) -> Client:
    """The seed's client."""
    return await author.create_client(
        homepage="https://epicgames.example.com/",
        description="Your scores beside your friends'.",
        requestedPermissions=["customise_score", "delete_score"],
    )
