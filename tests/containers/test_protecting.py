"""An API behind a reverse proxy that asks key_issuer, exactly as docs/protecting-your-api.md shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.containers.deployment import IMAGES, Deployment, run, wait_until
from tests.harness.processes import REPOSITORY
from tests.harness.site import NO_AUTHORITIES, Site

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]

PAGE: Final = REPOSITORY / "docs" / "protecting-your-api.md"
API: Final = """
import http.server
class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = "\\n".join(f"{n}: {v}" for n, v in self.headers.items() if n.lower().startswith("x-latchkey")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
http.server.ThreadingHTTPServer(("", 9000), Api).serve_forever()
"""


@pytest.fixture(scope="module")
def protected(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Caddy with the page's block, before an API without a line of code about keys."""
    (block,) = re.findall(r"```caddyfile\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    file: Path = tmp_path_factory.mktemp("protected") / "Caddyfile"
    file.write_text(f":8000 {{\n{block}}}\n", encoding="utf-8")
    file.chmod(0o644)
    file.parent.chmod(0o755)
    network = f"{deployment.project}_web"
    names = [f"{deployment.project}-api", f"{deployment.project}-caddy"]
    images = {
        name: deployment.environ.get(name, standin.partition("/")[2]) for name, standin in IMAGES.items()
    }
    common = ("docker", "run", "--detach", "--rm", "--network", network)
    try:
        run(
            *common,
            "--name",
            names[0],
            "--network-alias",
            "your_api",
            images["PYTHON_IMAGE"],
            "python3",
            "-c",
            API,
        )
        run(
            *common, "--name", names[1], "-v", f"{file}:/etc/caddy/Caddyfile:ro", images["CADDY_IMAGE"],
            "caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile",
        )  # fmt: skip
        address = run(
            "docker",
            "inspect",
            "--format",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
            names[1],
        )
        url = f"http://{address.strip()}:8000"
        wait_until(lambda: _status(url) == httpx.codes.UNAUTHORIZED, "the API is protected", 30.0)
        yield url
    finally:
        run("docker", "rm", "--force", *names)


def _status(url: str) -> int:
    try:
        return httpx.get(f"{url}/scores/1", trust_env=False, verify=NO_AUTHORITIES).status_code
    except httpx.TransportError:
        return 0


async def test_only_a_good_key_with_the_permission_gets_through(protected: str, deployed_site: Site) -> None:
    """Missing, wrong and revoked: 401. Without the permission: 403. Good: the API learns whose key it is."""
    author = await deployed_site.sign_up()
    client = await author.create_client()
    other = await author.create_client(requestedPermissions=["submit_score"])
    good = str((await author.give_key(client))["access_token"])
    weak = str((await author.give_key(other))["access_token"])
    revoked = str((await author.give_key(client))["access_token"])
    await deployed_site.http.post("/api/v1/oauth/revoke", data={"token": revoked}, auth=client.basic)
    async with httpx.AsyncClient(base_url=protected, trust_env=False) as http:

        async def ask(key: str | None, **headers: str) -> httpx.Response:
            login = {} if key is None else {"Authorization": f"Bearer {key}"}
            return await http.get("/scores/1?permission=submit_score", headers={**login, **headers})

        for key in (None, "wrong", good[:-1] + "x", revoked):
            refused = await ask(key)
            assert refused.status_code == httpx.codes.UNAUTHORIZED
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        forbidden = await ask(weak)
        assert forbidden.status_code == httpx.codes.FORBIDDEN
        assert "insufficient_scope" in forbidden.headers["WWW-Authenticate"]
        through = await ask(good, **{"X-Latchkey-User": "1000", "X-Latchkey-Evil": "yes"})
        assert through.status_code == httpx.codes.OK
        told = dict(line.split(": ") for line in through.text.lower().splitlines())
        assert told["x-latchkey-user"] == str(author.user_id)
        assert told["x-latchkey-client"] == client.client_id.lower()
        assert "x-latchkey-evil" not in told


async def test_a_personal_key_brings_no_client(protected: str, deployed_site: Site) -> None:
    """A header that the check does not send cannot be sent by the caller instead."""
    author = await deployed_site.sign_up()
    personal = str((await author.create_key("mine", ["customise_score"]))["token"])
    headers = {"Authorization": f"Bearer {personal}", "X-Latchkey-Client": "someone-else"}
    async with httpx.AsyncClient(base_url=protected, trust_env=False) as http:
        answer = await http.get("/scores/1", headers=headers)
    assert answer.status_code == httpx.codes.OK
    assert "x-latchkey-client" not in answer.text.lower()
