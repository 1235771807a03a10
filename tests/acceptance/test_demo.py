"""`./latchkey demo` beside a running `up`, as a person starts it."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from deploy.demo_app.browser import Browser
from deploy.embedded.ports import free_port
from tests.harness.backends import new_folder
from tests.harness.people import PASSWORD
from tests.harness.processes import LATCHKEY, clean_environ, running_up, starting


@pytest.fixture(scope="module")
def folder_of_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo keeps its credentials."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(latchkey: str, folder_of_demo: Path) -> Iterator[str]:
    """The sample site, running; its address."""
    port = str(free_port())
    arguments = ("demo", "--port", port, "--url", latchkey, "--data-dir", str(folder_of_demo))
    with starting(*arguments, folder=folder_of_demo, executable=True) as process:
        process.wait_until(lambda: "The demo is ready at " in process.output(), "it was ready")
        yield f"http://127.0.0.1:{port}"


def headless(latchkey: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Walks the flow in the terminal."""
    arguments = [
        "demo",
        "--headless",
        "--port",
        str(free_port()),
        "--url",
        latchkey,
        "--data-dir",
        str(folder),
    ]
    return subprocess.run(
        [LATCHKEY, *arguments], env=clean_environ(), capture_output=True, text=True, timeout=60, check=False
    )


def test_the_walk_prints_each_step_and_reuses_its_credentials(latchkey: str, tmp_path: Path) -> None:
    """Two walks end well with one client; the file with its secret is the owner's alone."""
    first, second = headless(latchkey, tmp_path), headless(latchkey, tmp_path)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "linked as player-" in first.stdout
    assert "401: The key was refused." in first.stdout
    file = tmp_path / "demo.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert f"client {kept['client_id']}" in first.stdout.splitlines()[0]
    assert first.stdout.splitlines()[0] == second.stdout.splitlines()[0]
    assert kept["client_secret"] not in first.stdout + first.stderr


def test_where_it_can_make_a_service_key_it_shows_the_sdk_too(run_directory: Path) -> None:
    """Beside the `up` of its data directory its API is there twice; that key too is made once, for its owner alone."""
    folder = new_folder(run_directory)
    with running_up(folder, executable=True) as url:
        walks = [headless(url, folder / "data") for _ in range(2)]
    for walked in walks:
        assert walked.returncode == 0, walked.stderr
        assert "without a key: GET /guarded/api/scores: 401" in walked.stdout
        assert "with a wrong key: GET /guarded/api/scores: 401" in walked.stdout
        assert "with the key: GET /guarded/api/scores: 200" in walked.stdout
        assert "DELETE /guarded/api/scores/1: 403" in walked.stdout
        assert "The key is refused below /guarded/api/ too" in walked.stdout
    file = folder / "data" / "demo-introspection-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text(encoding="ascii").strip() not in walks[0].stdout + walks[0].stderr


@pytest.mark.parametrize("lost", ["client_secret", "password", "issuer"])
def test_lost_credentials_are_made_anew(latchkey: str, tmp_path: Path, lost: str) -> None:
    """A secret that was reset elsewhere, an account that is gone, another Latchkey: the walk goes well all the same."""
    assert headless(latchkey, tmp_path).returncode == 0
    file = tmp_path / "demo.json"
    file.write_text(
        json.dumps({**json.loads(file.read_text(encoding="utf-8")), lost: "http://other"}), encoding="utf-8"
    )
    again = headless(latchkey, tmp_path)
    assert again.returncode == 0, again.stderr


def test_without_latchkey_it_says_what_to_do(tmp_path: Path) -> None:
    """Exit code 1, one line, nothing on stdout."""
    walked = headless(f"http://127.0.0.1:{free_port()}", tmp_path)
    assert walked.returncode == 1
    assert walked.stdout == ""
    assert "./latchkey up" in walked.stderr


async def test_a_person_links_declines_and_gives_the_key_back(latchkey: str, demo: str) -> None:
    """Decline is friendly; Accept links; the button uses the key; unlinking ends it."""
    async with Browser() as browser:
        page = await browser.open(f"{demo}/link")
        page = await browser.follow(page, page.link("/sign-up"))
        values = {"username": "walker", "password": PASSWORD}
        consent = await browser.press(page, page.button_beside("password"), values)
        page = await browser.press(consent, "Decline")
        assert "That is fine" in page.html
        page = await browser.press(await browser.open(f"{demo}/link"), "Accept")
        assert page.url == f"{demo}/"
        assert "Linked as walker" in page.html
        assert "code=" not in page.url
        page = await browser.press(page, "Use the key")
        assert "The key works." in page.html
        page = await browser.press(page, "Unlink my account")
        assert "Unlinked" in page.html


async def test_a_callback_that_this_browser_did_not_start_does_nothing(latchkey: str, demo: str) -> None:
    """A made-up state, a missing one and another issuer are refused before the code is looked at."""
    async with Browser() as browser:
        await browser.open(f"{demo}/link")
        for query in ("code=stolen", "code=stolen&state=guessed", "code=a&state=b&iss=https://evil.example"):
            page = await browser.open(f"{demo}/tachi-auth-callback?{query}")
            assert page.status == 400
            assert "This link is old" in page.html


async def test_another_site_cannot_press_its_buttons(demo: str) -> None:
    """A form posted from elsewhere is refused, also from another port of this machine."""
    async with aiohttp.ClientSession() as http:
        for origin in ("http://127.0.0.1:1", "https://evil.example", "null"):
            async with http.post(f"{demo}/use", headers={"Origin": origin}) as answer:
                assert answer.status == 403


async def test_its_api_answers_a_browsers_question_without_a_key(demo: str) -> None:
    """A preflight never carries one (Fetch §4.8). Any other OPTIONS needs a key, and scripts read every refusal."""
    asking = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    refused: tuple[tuple[str, dict[str, str]], ...] = (
        ("OPTIONS", {}),
        ("OPTIONS", asking | {"Origin": ""}),
        ("OPTIONS", asking | {"Access-Control-Request-Method": ""}),
        ("POST", asking),
    )
    async with aiohttp.ClientSession() as http:
        url = f"{demo}/api/scores/1/comment"
        async with http.options(url, headers=asking) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        for method, headers in refused:
            async with http.request(method, url, headers=headers) as answer:
                assert answer.status == 401, (method, headers)
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
        async with http.get(demo) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers
