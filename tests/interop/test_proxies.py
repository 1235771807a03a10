"""An API behind each reverse proxy of docs/protecting-your-api.md, with its file as it is there.

A browser asks before it sends a key to another site (a CORS preflight, Fetch §4.8): that request carries no key, and
has to pass. Whatever only looks like one has not.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import pytest
from aiohttp import web

from deploy.embedded.ports import free_port
from shared.web.server import serving
from tests.harness.backends import new_folder
from tests.harness.browser import running_chromium
from tests.harness.processes import REPOSITORY, running_up
from tests.harness.site import Site
from tests.interop.building import CannotBuildError
from tests.interop.proxies import EXAMPLES, PROXIES, Proxy, running_proxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

PAGE: Final = REPOSITORY / "docs" / "protecting-your-api.md"
NO_PROXIES: Final = {"A service key", "Keys to try it with", "Hearing of revocations"}
"""Other chapters of the page that show commands or programs."""
ORIGIN: Final = "https://app.example.com"
FORGED: Final = {"X-Latchkey-User": "1000", "X-Latchkey-Client": "forged"}


@dataclass
class Api:
    """An API without a line of code about keys: what reached it, and how it answers other sites."""

    port: int
    reached: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Says what the proxy told of the caller; a preflight is answered as CORS libraries do."""
        told = {
            name: value for name, value in request.headers.items() if name.lower().startswith("x-latchkey-")
        }
        self.reached.append((request.method, told))
        headers = {"Access-Control-Allow-Origin": "*"}
        if request.method == "OPTIONS" and request.headers.get("Access-Control-Request-Method"):
            headers |= {
                "Access-Control-Allow-Headers": "authorization",
                "Access-Control-Allow-Methods": "GET, POST",
            }
            return web.Response(status=204, headers=headers)
        return web.json_response({name.lower(): value for name, value in told.items()}, headers=headers)


@dataclass(frozen=True)
class Keys:
    """Three keys of one person."""

    good: str
    weak: str
    revoked: str
    user_id: int


@dataclass(frozen=True)
class Protected:
    """The proxy's address, and the API behind it."""

    url: str
    api: Api

    async def ask(self, method: str, key: str | None = None, **headers: str) -> httpx.Response:
        """One request to the API; underscores in the names of headers are hyphens."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as http:
            return await http.request(method, "/scores/1?x=%20y", headers=sent)


@pytest.fixture(scope="module")
def latchkey(run_directory: Path) -> Iterator[str]:
    """A running Latchkey; its address."""
    with running_up(new_folder(run_directory)) as url:
        yield url


@pytest.fixture(scope="module")
async def keys(latchkey: str) -> Keys:
    """Made once."""
    async with Site.at(latchkey) as site:
        person = await site.sign_up()
        good = await person.create_key("good", ["customise_score"])
        weak = await person.create_key("weak", ["submit_score"])
        revoked = await person.create_key("revoked", ["customise_score"])
        ended = await person.http.delete(f"/api/v1/keys/{revoked['keyID']}")
        assert ended.status_code == httpx.codes.NO_CONTENT
        return Keys(str(good["token"]), str(weak["token"]), str(revoked["token"]), person.user_id)


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[Api]:
    """The API, running."""
    api = Api(free_port())
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.answer)
    async with serving(application, "127.0.0.1", api.port, drain_seconds=1):
        yield api


@pytest.fixture(scope="module", params=PROXIES, ids=lambda proxy: proxy.name)
def protected(
    request: pytest.FixtureRequest, latchkey: str, api: Api, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Protected]:
    """The API behind one proxy after the other."""
    proxy: Proxy = request.param
    key_issuer = int(latchkey.rpartition(":")[2])
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp(proxy.name)
        try:
            url = stack.enter_context(running_proxy(proxy, folder, key_issuer=key_issuer, your_api=api.port))
        except CannotBuildError as error:
            pytest.skip(str(error))
        api.reached.clear()
        yield Protected(url, api)


async def test_only_a_good_key_with_the_permission_gets_through(protected: Protected, keys: Keys) -> None:
    """With any method; the API learns whose key it is from Latchkey alone."""
    protected.api.reached.clear()
    for key in (None, "wrong", keys.good[:-1] + "x", keys.revoked):
        for method in ("GET", "POST", "OPTIONS"):
            refused = await protected.ask(method, key)
            assert refused.status_code == httpx.codes.UNAUTHORIZED, (method, key)
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    forbidden = await protected.ask("GET", keys.weak)
    assert forbidden.status_code == httpx.codes.FORBIDDEN
    assert "insufficient_scope" in forbidden.headers["WWW-Authenticate"]
    assert protected.api.reached == []
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        through = await protected.ask(method, keys.good, **FORGED)
        assert through.status_code == httpx.codes.OK, method
        assert through.json()["x-latchkey-user"] == str(keys.user_id)
        assert "x-latchkey-client" not in through.json()  # a personal key belongs to no client


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_a_preflight_reaches_the_api_and_says_nothing_of_a_caller(
    protected: Protected, key: str | None
) -> None:
    """Without a key, and whatever it claims to be."""
    protected.api.reached.clear()
    asking = {"Origin": ORIGIN, "Access_Control_Request_Method": "GET"}
    answer = await protected.ask(
        "OPTIONS", key, **asking, **FORGED, Access_Control_Request_Headers="authorization"
    )
    assert answer.status_code == httpx.codes.NO_CONTENT
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert protected.api.reached == [("OPTIONS", {})]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        pytest.param("OPTIONS", {}, id="plain"),
        pytest.param("OPTIONS", {"Origin": ORIGIN}, id="no-method-asked-for"),
        pytest.param("OPTIONS", {"Access_Control_Request_Method": "GET"}, id="no-origin"),
        pytest.param("OPTIONS", {"Origin": ORIGIN, "Access_Control_Request_Method": ""}, id="empty-method"),
        pytest.param("OPTIONS", {"Origin": "", "Access_Control_Request_Method": "GET"}, id="empty-origin"),
        pytest.param(
            "OPTIONS", {"Origin": ORIGIN, "Access_Control_Request_Headers": "a"}, id="headers-alone"
        ),
        pytest.param("GET", {"Origin": ORIGIN, "Access_Control_Request_Method": "GET"}, id="get"),
        pytest.param("POST", {"Origin": ORIGIN, "Access_Control_Request_Method": "POST"}, id="post"),
        pytest.param(
            "POST",
            {"Origin": ORIGIN, "Access_Control_Request_Method": "POST", "X_HTTP_Method_Override": "OPTIONS"},
            id="overridden",
        ),
    ],
)
async def test_what_is_no_preflight_needs_a_key(
    protected: Protected, method: str, headers: dict[str, str]
) -> None:
    """Only `OPTIONS` from an origin, asking for a method, is one (Fetch §4.8)."""
    protected.api.reached.clear()
    answer = await protected.ask(method, **headers)
    assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert protected.api.reached == []


async def test_a_page_of_another_site_uses_a_key(protected: Protected, keys: Keys) -> None:
    """In a real browser: the preflight passes, and the script reads the answer."""
    async with running_chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{protected.api.port}/page")
        asked = "([url, key]) => fetch(url, {headers: {Authorization: `Bearer ${key}`}}).then(answer => answer.json())"
        told = await page.evaluate(asked, [f"{protected.url}/scores/1", keys.good])
    assert told["x-latchkey-user"] == str(keys.user_id)


@pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: proxy.name)
async def test_without_latchkey_nothing_gets_through(proxy: Proxy, api: Api, tmp_path: Path) -> None:
    """A check that cannot be made is no refusal of the key, 401 or 403, either."""
    api.reached.clear()
    try:
        with running_proxy(proxy, tmp_path, key_issuer=free_port(), your_api=api.port) as url:
            answer = await Protected(url, api).ask("GET", "any")
    except CannotBuildError as error:
        pytest.skip(str(error))
    assert answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
    assert api.reached == []


@pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: proxy.name)
def test_the_page_shows_what_is_tested(proxy: Proxy) -> None:
    """Every block under the proxy's name stands in its file, word for word."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {proxy.name}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    assert blocks
    assert f"proxies/{proxy.example}" in section
    example = _words((EXAMPLES / proxy.example).read_text(encoding="utf-8"))
    for block in blocks:
        assert _words(block) in example


def test_every_proxy_of_the_page_is_tested() -> None:
    """What the page shows for another one would be a promise that nobody keeps."""
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    shown = [section.partition("\n")[0] for section in sections if "\n```" in section]
    assert [name for name in shown if name not in NO_PROXIES] == [proxy.name for proxy in PROXIES]
    assert {file.name for file in EXAMPLES.iterdir()} == {proxy.example for proxy in PROXIES}


def _words(text: str) -> str:
    """Its lines without what they are indented by."""
    return "".join(f"{line.strip()}\n" for line in text.splitlines() if line.strip())
