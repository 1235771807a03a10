"""The programs of docs/integrating.md, taken from the page and run as they stand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest

from tests.acceptance.documents import blocks, section
from tests.harness.kept import compiled_briefly
from tests.harness.people import Account, Person
from tests.harness.processes import REPOSITORY

REDIRECT_URI = "https://epicgames.example.com/callback"
PAGE = section(
    (REPOSITORY / "docs" / "integrating.md").read_text(encoding="utf-8"), "3. Swap the code for the key"
)
GO_MODULE = REPOSITORY / "tests" / "interop" / "clients" / "go"


@dataclass(frozen=True)
class Shown:
    """A program of the page: how to call its `swap` with a code, and its `link` if it has one."""

    swap: Callable[[Path, str], list[str]]
    link: Callable[[Path], list[str]] | None = None


def _write(folder: Path, name: str, text: str) -> str:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def _python(last_line: str) -> Callable[..., list[str]]:
    text = f"{blocks(PAGE, 'python')[0]}\nimport sys\n{last_line}\n"
    return lambda folder, *code: [sys.executable, _write(folder, "shown.py", text), *code]


def _node(last_line: str) -> Callable[..., list[str]]:
    text = f"{blocks(PAGE, 'js')[0]}\n{last_line}\n"
    return lambda folder, *code: ["node", _write(folder, "shown.mjs", text), *code]


def _go(expression: str) -> Callable[..., list[str]]:
    main = (
        'package main\n\nimport (\n\t"context"\n\t"fmt"\n\t"os"\n\n\t"latchkey.example/interop/keys"\n)\n\n'
        f"func main() {{\n\t_, _ = context.TODO(), os.Args\n\tfmt.Println({expression})\n}}\n"
    )

    def command(folder: Path, *code: str) -> list[str]:
        _write(folder, "keys/keys.go", blocks(PAGE, "go")[0])
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(GO_MODULE / name, folder / name)
        return ["go", "run", "-C", str(folder), _write(folder, "main.go", main), *code]

    return command


def _curl(folder: Path, code: str) -> list[str]:
    read = "import json, sys; print(json.load(sys.stdin)['access_token'])"
    text = f'CODE=$1\n({blocks(PAGE)[0]}) | "{sys.executable}" -c "{read}"\n'
    return ["bash", _write(folder, "shown.sh", text), code]


SHOWN = {
    "curl": Shown(_curl),
    "Python": Shown(_python("print(swap(sys.argv[1]))"), _python("print(link()[0])")),
    "JavaScript": Shown(
        _node("console.log(await swap(process.argv[2]))"), _node('console.log(link("remembered"))')
    ),
    "Go": Shown(
        _go("keys.Swap(context.Background(), os.Args[1])"), _go('keys.Config.AuthCodeURL("remembered")')
    ),
}


@pytest.fixture
async def environ(latchkey: str) -> AsyncIterator[dict[str, str]]:
    """A registered client, as the programs read it from the environment."""
    async with Account(latchkey) as author:
        client = await author.register(redirectUri=REDIRECT_URI)
        yield {
            **os.environ,
            **compiled_briefly(),
            "OAUTHLIB_INSECURE_TRANSPORT": "1",  # plain HTTP, on the loopback interface alone
            "SITE": latchkey,
            "CLIENT_ID": client.client_id,
            "CLIENT_SECRET": client.client_secret or "",
            "REDIRECT_URI": REDIRECT_URI,
        }


@pytest.mark.parametrize("language", SHOWN)
async def test_a_program_of_the_page_gets_a_key(
    language: str, latchkey: str, environ: dict[str, str], tmp_path: Path
) -> None:
    """Its link leads to consent, its `swap` makes a live key of the code."""
    shown = SHOWN[language]
    if shutil.which(shown.swap(tmp_path, "")[0]) is None:
        pytest.skip(f"no {shown.swap(tmp_path, '')[0]} here to run the {language} of the page")
    standard = {"response_type": "code", "client_id": environ["CLIENT_ID"], "redirect_uri": REDIRECT_URI}
    link = f"{latchkey}/oauth/authorize?{urlencode(standard)}"
    if shown.link is not None:
        link = _run(shown.link(tmp_path), environ)
    async with Person(latchkey) as person:
        query = parse_qs(urlsplit(await person.decide(link, "Accept", REDIRECT_URI)).query)
    key = _run(shown.swap(tmp_path, query["code"][0]), environ).split()[0]
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{latchkey}/api/v1/verify?permission=customise_score", headers=headers) as answer,
    ):
        assert answer.status == 200


def _run(command: list[str], environ: dict[str, str]) -> str:
    finished = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout.strip()
