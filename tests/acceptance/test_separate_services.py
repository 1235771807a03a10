"""The whole story through the services as they are deployed: a process each, one origin in front."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from deploy.embedded.ports import free_port
from tests.harness.backends import new_folder
from tests.harness.front import fronting
from tests.harness.people import Account, Person
from tests.harness.processes import RunningServices, command, running_services

REDIRECT_URI = "http://127.0.0.1/callback"


@pytest.fixture(scope="module")
async def deployed(run_directory: Path) -> AsyncIterator[RunningServices]:
    """`backends`, `migrate`, three times `serve`, and what the reverse proxy does."""
    port = free_port()
    public_url = f"http://127.0.0.1:{port}"
    with running_services(new_folder(run_directory), public_url=public_url, executable=True) as services:
        async with fronting(services.urls, port):
            yield services


async def test_consent_to_revocation(deployed: RunningServices) -> None:
    """A person accepts in the browser, the program gets a key on a loopback port, the key dies when taken back."""
    site = deployed.public_url
    redirect_uri = "http://127.0.0.1:49152/callback"
    async with Account(site) as author, Person(site) as person, aiohttp.ClientSession() as http:
        client = await author.register(redirectUri=REDIRECT_URI)
        link = (
            f"{site}/oauth/authorize?response_type=code&client_id={client.client_id}"
            f"&redirect_uri={redirect_uri}&state=s"
        )
        query = parse_qs(urlsplit(await person.decide(link, "Accept", redirect_uri)).query)
        form = {"grant_type": "authorization_code", "code": query["code"][0], "redirect_uri": redirect_uri}
        basic = aiohttp.encode_basic_auth(client.client_id, client.client_secret or "")
        async with http.post(
            f"{site}/api/v1/oauth/token", data=form, headers={"Authorization": basic}
        ) as answer:
            token = await answer.json()
            assert answer.status == 200, token
            assert answer.headers["Cache-Control"] == "no-store"
        assert await verify(http, site, token["access_token"]) == 200
        assert await person.browser.call("DELETE", f"{site}/api/v1/apps/{client.client_id}") == 204
        assert await verify(http, site, token["access_token"]) == 401


async def test_a_service_key_introspects(deployed: RunningServices) -> None:
    """The command line makes a service key, and a resource server learns whose key it was shown."""
    site = deployed.public_url
    made = command(
        "service-key", "create", "--name", "api", "--permission", "introspect", environ=deployed.environ
    )
    async with Account(site) as person, aiohttp.ClientSession() as http:
        key = await person.send(
            "POST", "/api/v1/keys", {"identifier": "laptop", "permissions": ["submit_score"]}, 201
        )
        asked = {"token": key["token"]}
        headers = {"Authorization": f"Bearer {made.strip()}"}
        async with http.post(f"{site}/api/v1/oauth/introspect", data=asked, headers=headers) as answer:
            found = await answer.json()
        assert found["active"] is True
        assert found["sub"] == str(person.user_id)
        assert found["scope"] == "submit_score"


def test_each_process_is_the_service_itself(deployed: RunningServices) -> None:
    """The executable execs, so that a signal to its id reaches the service."""
    for name, process in deployed.processes.items():
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        assert arguments[arguments.index(b"deploy.cli") + 1 :][:2] == [b"serve", name.encode()]


async def verify(http: aiohttp.ClientSession, site: str, key: str) -> int:
    """What a resource server hears of a key."""
    async with http.get(f"{site}/api/v1/verify", headers={"Authorization": f"Bearer {key}"}) as answer:
        return answer.status
