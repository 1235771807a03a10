"""gitleaks as it is published, with the rules of docs/gitleaks.toml."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from shared.api_key import SERVICE_KEY, USER_KEY, mint_client_id, mint_client_secret, mint_key
from tests.harness.kept import compiled_briefly
from tests.harness.processes import REPOSITORY
from tests.interop.building import BUILD_SECONDS, BUILT, CannotBuildError, need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]  # the first waits for the compiler

RULES: Final = REPOSITORY / "docs" / "gitleaks.toml"
VERSION: Final = "v8.30.1"
SITE: Final = "https://keys.example.com"


@pytest.fixture(scope="module")
def gitleaks() -> Path:
    """The program, made once for each version of it."""
    folder = BUILT / f"gitleaks-{VERSION}"
    try:
        need("go")
        if not (folder / "gitleaks").exists():
            _install(folder)
    except CannotBuildError as error:
        pytest.skip(str(error))
    return folder / "gitleaks"


def _install(folder: Path) -> None:
    install = ("go", "install", f"github.com/zricethezav/gitleaks/v8@{VERSION}")
    environ = {**os.environ, **compiled_briefly(), "GOBIN": str(folder)}
    finished = subprocess.run(
        install, env=environ, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if finished.returncode:
        raise CannotBuildError(f"{' '.join(install)} failed: {finished.stderr[-2000:]}")


def findings(gitleaks: Path, folder: Path, *command: str) -> dict[str, str]:
    """Secret → rule, of what is ours."""
    report = folder.with_suffix(".json")
    options = ("--config", str(RULES), "--report-path", str(report), "--no-banner", "--exit-code", "0")
    subprocess.run([gitleaks, *command, *options, str(folder)], check=True, capture_output=True, timeout=120)
    found = json.loads(report.read_text(encoding="utf-8"))
    return {each["Secret"]: each["RuleID"] for each in found if each["RuleID"].startswith("latchkey-")}


def test_gitleaks_finds_every_kind_and_no_other(gitleaks: Path, tmp_path: Path) -> None:
    """In files as programs keep keys, of any prefix; a public id is no secret."""
    folder = tmp_path / "files"
    folder.mkdir()
    person, service = (mint_key("lk", kind, SITE).token for kind in (USER_KEY, SERVICE_KEY))
    other, secret = mint_key("acme", USER_KEY, SITE).token, mint_client_secret("lk")
    (folder / ".env").write_text(f"KEY={person}\nCLIENT_SECRET={secret}\n", encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"a": {"key": service}}), encoding="utf-8")
    (folder / "notes.md").write_text(f"Call it with `Bearer {other}`.\n", encoding="utf-8")
    (folder / "public.py").write_text(
        f'CLIENT = "{mint_client_id("lk")}"\nPART = "{person[:-1]}"\n', encoding="utf-8"
    )

    found = findings(gitleaks, folder, "dir")

    assert found == {
        person: "latchkey-key",
        service: "latchkey-key",
        other: "latchkey-key",
        secret: "latchkey-client-secret",
    }


def test_gitleaks_finds_a_key_that_was_removed_again(gitleaks: Path, tmp_path: Path) -> None:
    """In the history, where it is as public as ever."""
    folder = tmp_path / "repository"
    folder.mkdir()
    key = mint_key("lk", USER_KEY, SITE).token
    git(folder, "init", "--quiet")
    for text in (f"key: {key}\n", "key: elsewhere\n"):
        (folder / "settings.yaml").write_text(text, encoding="utf-8")
        git(folder, "add", "settings.yaml")
        git(folder, "commit", "--quiet", "--message", "x")

    assert findings(gitleaks, folder, "git") == {key: "latchkey-key"}


def git(folder: Path, *arguments: str) -> None:
    """Runs git as somebody who has set nothing up."""
    names = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True)
