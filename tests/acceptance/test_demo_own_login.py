"""`./latchkey demo --own-login`: a site with its own users beside a running `up`, as a person starts it."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.demo_app.browser import Browser, Page
from deploy.demo_app.own_login import PASSWORD
from deploy.embedded.ports import free_port, is_free
from tests.harness.backends import new_folder
from tests.harness.processes import LATCHKEY, clean_environ, running_up, starting


@dataclass(frozen=True, slots=True)
class Place:
    """A running Latchkey that sends people to the sample site's login, and the ports of the sample sites."""

    folder: Path
    port: int

    def arguments(self, *more: str) -> tuple[str, ...]:
        """Of `latchkey demo`."""
        return "demo", "--own-login", "--port", str(self.port), "--data-dir", str(self.folder / "data"), *more

    def walk(self) -> subprocess.CompletedProcess[str]:
        """The whole story in the terminal."""
        return subprocess.run(
            [LATCHKEY, *self.arguments("--headless")],
            env=clean_environ(),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


def neighbouring_ports() -> int:
    """A free port whose next one is free too."""
    while True:
        port = free_port()
        if is_free(port + 1):
            return port


@pytest.fixture(scope="module", params=["on", "off"], ids=["passwords", "no-passwords"])
def place(request: pytest.FixtureRequest, run_directory: Path) -> Iterator[Place]:
    """With accounts of Latchkey's own beside the site's, and without."""
    folder, port = new_folder(run_directory), neighbouring_ports()
    environ = {
        "LATCHKEY_LOGIN_URL": f"http://127.0.0.1:{port + 1}/login",
        "LATCHKEY_LOGIN_NAME": "Rhythm Hall",
        "LATCHKEY_LOCAL_ACCOUNTS": str(request.param),
    }
    with running_up(folder, environ=environ, executable=True):
        yield Place(folder, port)


def test_the_walk_tells_the_story_twice(place: Place) -> None:
    """The key that the site's server needs is made once and kept for its owner alone."""
    first, second = place.walk(), place.walk()

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "Latchkey knows them as Zoë Ünal" in first.stdout
    assert "X-Latchkey-External-User: 1001" in first.stdout
    assert "401: The key was refused." in first.stdout
    file = place.folder / "data" / "demo-service-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text(encoding="ascii").strip() not in first.stdout + first.stderr
    assert first.stdout.splitlines()[0] == second.stdout.splitlines()[0]


async def to_login(browser: Browser, place: Place) -> Page:
    """From the sample app's link to the sample site's login."""
    page = await browser.open(f"http://127.0.0.1:{place.port}/link")
    if not any("login_challenge" in form.fields for form in page.forms):
        page = await browser.follow(page, page.link("/login/site"))
    assert page.url.startswith(f"http://127.0.0.1:{place.port + 1}/login?")
    return page


async def test_a_person_clicks_through_it(place: Place, tmp_path: Path) -> None:
    """A wrong password stays there; turning back tells the app; who is signed in there comes in at once."""
    with starting(*place.arguments(), folder=tmp_path, executable=True) as demo:
        demo.wait_until(lambda: "The demo is ready at " in demo.output(), "it was ready")
        async with Browser() as browser:
            page = await to_login(browser, place)
            page = await browser.press(page, "Sign in", {"username": "max", "password": "wrong"})
            assert page.status == 401
            page = await browser.press(page, "Cancel")
            assert "That is fine" in page.html

            page = await to_login(browser, place)
            page = await browser.press(page, "Sign in", {"username": "max", "password": PASSWORD})
            page = await browser.press(page, "Accept")
            assert page.url == f"http://127.0.0.1:{place.port}/"
            assert "Linked as" in page.html

            home = await browser.open(f"http://127.0.0.1:{place.port + 1}/")
            assert "Hello, Max" in home.html
            apps = await browser.open(dict(home.links)["Your apps and keys"])
            assert "Epic Games" in apps.html
            again = await browser.press(apps, "Sign out")
            assert "You are signed out." in again.html


def test_a_latchkey_that_knows_no_such_login_is_told_how(run_directory: Path) -> None:
    """Exit code 1, and the command that starts it right."""
    place = Place(new_folder(run_directory), neighbouring_ports())
    with running_up(place.folder, executable=True):
        walked = place.walk()

    assert walked.returncode == 1
    assert f"LATCHKEY_LOGIN_URL=http://127.0.0.1:{place.port + 1}/login ./latchkey up" in walked.stderr
