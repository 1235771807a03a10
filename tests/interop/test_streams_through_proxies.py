"""The stream of revocations through real proxies: each event arrives at once, and who goes away is not kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import pytest

from deploy.embedded.ports import free_port
from tests.harness.backends import new_folder
from tests.harness.processes import command, running_up
from tests.harness.site import Site
from tests.interop.building import CannotBuildError
from tests.interop.proxies import PROXIES, running_proxy, running_site_proxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STREAM: Final = "/api/v1/revocations"
AT_ONCE_SECONDS: Final = 2.5
"""Less than a listener waits before it thinks that the stream is dead; a proxy that gathers 4 KB takes a minute."""

_Running = Callable[[Path, int], AbstractContextManager[str]]

THROUGH: Final[dict[str, _Running]] = {
    "Caddy of the compose file": lambda folder, port: running_site_proxy(folder, latchkey=port),
    **{
        proxy.name: lambda folder, port, proxy=proxy: running_proxy(  # type: ignore[misc]
            proxy, folder, key_issuer=port, your_api=free_port()
        )
        for proxy in PROXIES
        if proxy.name in ("Caddy", "nginx")
    },
}


@pytest.fixture(scope="module")
def folder(run_directory: Path) -> Path:
    """Where the running Latchkey has its data."""
    return new_folder(run_directory)


@pytest.fixture(scope="module")
def latchkey(folder: Path) -> Iterator[str]:
    """A running Latchkey; its address."""
    with running_up(folder) as url:
        yield url


@pytest.fixture(scope="module")
def service_key(folder: Path, latchkey: str) -> str:
    """A service key, made by the operator's command."""
    printed = command("env", "--data-dir", str(folder / "data")).splitlines()
    environ = {**dict(line.split("=", 1) for line in printed), "LATCHKEY_PUBLIC_URL": latchkey}
    return command(
        "service-key", "create", "--name", "api", "--permission", "introspect", environ=environ
    ).strip()


@pytest.fixture(scope="module", params=THROUGH)
def proxied(
    request: pytest.FixtureRequest, latchkey: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of one proxy after the other, in front of Latchkey."""
    port = int(latchkey.rpartition(":")[2])
    try:
        with THROUGH[request.param](tmp_path_factory.mktemp("proxy"), port) as url:
            yield url
    except CannotBuildError as error:
        pytest.skip(str(error))


@asynccontextmanager
async def listening(url: str, token: str) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """The events of a stream, by name and data."""
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http,
        http.stream("GET", STREAM, headers={"Authorization": f"Bearer {token}"}) as answer,
    ):
        assert answer.status_code == httpx.codes.OK
        assert "content-encoding" not in answer.headers
        yield _events(answer)


async def _events(answer: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            yield fields["event"], orjson.loads(fields["data"])


async def listeners(latchkey: str) -> float:
    """How many are there, as Latchkey counts."""
    async with httpx.AsyncClient(base_url=latchkey, trust_env=False) as http:
        text = (await http.get("/metrics")).text
    (line,) = (line for line in text.splitlines() if line.startswith("latchkey_revocation_listeners{"))
    return float(line.rpartition(" ")[2])


async def test_an_event_passes_at_once(proxied: str, latchkey: str, service_key: str) -> None:
    """Also where nothing else is written; so does each heartbeat."""
    async with Site.at(latchkey) as site, listening(proxied, service_key) as events:
        assert await anext(events) == ("reset", {})
        person = await site.sign_up()
        key = await person.create_key("laptop", ["submit_score"])
        heard = await anext(events)
        assert heard == ("heartbeat", {})
        began = time.monotonic()
        ended = await person.http.delete(f"/api/v1/keys/{key['keyID']}")
        assert ended.status_code == httpx.codes.NO_CONTENT
        while heard[0] == "heartbeat":
            heard = await anext(events)
        assert heard == ("invalidate", {"keyIDs": [key["keyID"]]})
        assert time.monotonic() - began < AT_ONCE_SECONDS
        for _ in range(3):
            assert await asyncio.wait_for(anext(events), AT_ONCE_SECONDS) == ("heartbeat", {})


async def test_a_listener_that_goes_is_not_kept(proxied: str, latchkey: str, service_key: str) -> None:
    """The proxy lets go of it, too."""
    async with asyncio.timeout(20):
        while await listeners(latchkey):
            await asyncio.sleep(0.1)
        async with listening(proxied, service_key) as events:
            assert await anext(events) == ("reset", {})
            assert await listeners(latchkey) == 1
        while await listeners(latchkey):
            await asyncio.sleep(0.1)
