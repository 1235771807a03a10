"""Templates of key files over HTTP: those of real programs work, those that cost too much are refused by name."""

from __future__ import annotations

import configparser
import json
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.site import CALLBACK
from tests.integration.auth_api.conftest import Registry

LONG_WINDED = {
    "a.ini": "[a]\nk = %%API_KEY%%\nz" + " " * 9_900 + "y\n",
    "a.toml": "k = '%%API_KEY%%'\n" + "a." * 4_900 + "a = 1\n",
    "b.toml": "k = '%%API_KEY%%'\n" + "a." * 60 + "a = 1\n",
    "a.json": "[" * 900 + '"%%API_KEY%%"' + "]" * 900,
    "a.yaml": "k: %%API_KEY%%\nx: " + "? " * 4_900,
    "b.ini": "[a]\nk = %%API_KEY%%\n" + "x\n" * 4_900,
}
TEMPLATES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "fervidex.json": (
        '{\n\t"url": "https://keys.example/ir/fervidex",\n\t"token": "%%TACHI_KEY%%"\n}\n',
        lambda text: json.loads(text)["token"],
    ),
    "mikado.conf": (
        "[tachi]\nenable = true\napikey = '%%TACHI_KEY%%'\nurl = 'https://keys.example/ir/direct-manual/import'\n",
        lambda text: tomllib.loads(text)["tachi"]["apikey"],
    ),
    "saekawa.toml": (
        (
            "[general]\nenable = true\nexport_class = true\ntimeout = 3000\n\n[cards]\nwhitelist = []\n\n"
            '[tachi]\nbase_url = "https://keys.example/"\nstatus = "/api/v1/status"\napi_key = "%%TACHI_KEY%%"\n'
        ),
        lambda text: tomllib.loads(text)["tachi"]["api_key"],
    ),
    "BeatorajaIR.ini": (
        "; put this beside the program\n[ir]\nname = Site\nkey = %%TACHI_KEY%%\n\n[net]\nproxy =\n",
        lambda text: _ini(text)["ir"]["key"],
    ),
}
"""Files as the seed's programs read them, and how each finds its key."""


def _ini(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


@pytest.mark.parametrize("filename", LONG_WINDED)
async def test_a_template_that_costs_too_much_is_refused_by_name(registry: Registry, filename: str) -> None:
    """Registering it, changing to it, and calling a harmless one so that it would have to be read: 400, `apiKeyFormat`."""
    person = await registry.site.sign_up()
    template = LONG_WINDED[filename]
    body = {"name": "Epic Games", "redirectUri": CALLBACK, "requestedPermissions": ["customise_score"]}
    given = {"apiKeyFormat": template, "apiKeyFilename": filename}
    client = await person.create_client(apiKeyFormat=template, apiKeyFilename="a.txt")
    path = f"/api/v1/clients/{client.client_id}"
    for answer in (
        await person.http.post("/api/v1/clients", json={**body, **given}),
        await person.http.patch(path, json=given),
        await person.http.patch(path, json={"apiKeyFilename": filename}),
    ):
        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == ["apiKeyFormat"]
        detail = answer.json()["errors"][0]["detail"]
        assert detail.startswith(("must have at most", "is nested too deeply")), detail


@pytest.mark.parametrize("filename", TEMPLATES)
async def test_files_as_real_programs_read_them_go_on_working(registry: Registry, filename: str) -> None:
    """The program finds its key in the file, and the key is live."""
    template, find = TEMPLATES[filename]
    person = await registry.site.sign_up()
    client = await person.create_client(apiKeyFormat=template, apiKeyFilename=filename, redirectUri=None)
    made = (await person.http.post("/api/v1/keys", json={"clientID": client.client_id})).json()
    assert made["file"]["filename"] == filename
    assert find(made["file"]["content"]) == made["token"]
    assert (await registry.issuer.verify(made["token"])).status_code == 200


async def test_a_template_from_before_the_bounds_stands_in_the_way_of_nothing(registry: Registry) -> None:
    """Its file is made as ever, unread, and its client can be changed; only the file's own fields are judged anew."""
    person = await registry.site.sign_up()
    client = await person.create_client(redirectUri=None)
    template = LONG_WINDED["a.ini"]
    await registry.sql(
        "UPDATE auth.clients SET api_key_format = $2, api_key_filename = 'a.ini' WHERE client_id = $1",
        client.client_id,
        template,
    )
    registry.resources.clients.invalidate(client.client_id)
    made = (await person.http.post("/api/v1/keys", json={"clientID": client.client_id})).json()
    assert made["file"]["content"] == template.replace("%%API_KEY%%", made["token"])
    path = f"/api/v1/clients/{client.client_id}"
    assert (await person.http.patch(path, json={"name": "Fervidex"})).status_code == 200
    refused = await person.http.patch(path, json={"apiKeyFilename": "b.ini"})
    assert [error["field"] for error in refused.json()["errors"]] == ["apiKeyFormat"]
