"""`latchkey test --quick`: what it takes for what has changed."""

from __future__ import annotations

import ast
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from deploy.cli import test as command
from deploy.cli.quick import (
    ALWAYS,
    BROWSER_STORY,
    MOST_FILES,
    TESTS_OF,
    UnknownChangesError,
    changed_paths,
    integration_tests_of,
)
from tests.harness.processes import POLL_SECONDS, REPOSITORY

INTEGRATION: Final = REPOSITORY / "tests" / "integration"
TOO_LONG: Final = {
    "auth_api/test_outages.py",
    "auth_api/test_webhook_crashes.py",
    "auth_api/test_webhooks_restored.py",
    "auth_api/test_webhooks_upgraded.py",
    "bus/test_cluster.py",
    "bus/test_outages.py",
    "bus/test_processes.py",
    "bus/test_sentinels.py",
    "key_issuer/test_command_line.py",
    "key_issuer/test_crashes.py",
    "key_issuer/test_outages.py",
    "oauth/test_cost_of_an_exchange.py",
    "oauth/test_journeys.py",
    "oauth/test_keys_live.py",
    "oauth/test_lost_answers.py",
    "oauth/test_machine.py",
    "oauth/test_outages.py",
    "test_backup.py",
    "test_embedded.py",
    "test_redis_cluster.py",
    "test_redis_sentinels.py",
    "test_up.py",
    "test_wire.py",
    "test_wire_of_services.py",
}
"""Files of integration tests that a quick run takes only where they have changed themselves."""


def git(folder: Path, *arguments: str) -> None:
    """Runs git as somebody who has set nothing up."""
    names = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("beginning", TESTS_OF)
def test_every_line_of_the_table_is_about_something(beginning: str) -> None:
    """The path is there, and so is each of its tests."""
    folder, _, start = beginning.rpartition("/")
    assert [path for path in (REPOSITORY / folder).iterdir() if path.name.startswith(start)]

    found = integration_tests_of([beginning], REPOSITORY)

    assert len(found) == len(TESTS_OF[beginning].split())


def test_every_integration_test_is_in_the_table_or_too_long() -> None:
    """A new file is given its place."""
    named = {file for beginning in TESTS_OF for file in integration_tests_of([beginning], REPOSITORY)}
    there = {str(path.relative_to(REPOSITORY)) for path in INTEGRATION.rglob("test_*.py")}
    assert there - named == {f"tests/integration/{name}" for name in TOO_LONG}


def test_every_module_of_the_services_has_tests() -> None:
    """Whatever is changed in them, something is run."""
    for path in (*REPOSITORY.glob("services/*/**/*.py"), *REPOSITORY.glob("shared/**/*.py")):
        assert integration_tests_of([str(path.relative_to(REPOSITORY))], REPOSITORY), path


def test_the_longest_beginning_counts_and_changed_tests_come_first() -> None:
    """What is deleted is not run; what concerns nothing adds nothing."""
    paths = [
        "docs/operating.md",
        "services/auth_api/activity_log.py",
        "tests/integration/auth_api/test_deleted.py",
        "tests/integration/oauth/conftest.py",
        "tests/integration/oauth/test_device.py",
    ]

    found = integration_tests_of(paths, REPOSITORY)

    folder = "tests/integration"
    assert found == [f"{folder}/oauth/test_device.py", f"{folder}/oauth/test_attempts.py"]


def test_the_browsers_story_is_there() -> None:
    """By its name, with JavaScript."""
    file, _, name = BROWSER_STORY.partition("::")
    functions = [
        node.name
        for node in ast.parse((REPOSITORY / file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.AsyncFunctionDef)
    ]
    assert name.removesuffix("[script]") in functions


def test_what_wants_the_machine_alone_is_looked_for_where_it_is() -> None:
    """The parts of a whole run that are not shared read those paths only."""
    mark = "pytest.mark." + "alone"
    marked = [
        path for path in (REPOSITORY / "tests").rglob("*.py") if mark in path.read_text(encoding="utf-8")
    ]
    names = [str(path.relative_to(REPOSITORY)) for path in marked]
    assert names
    assert [name for name in names if not name.startswith(command.ALONE)] == []


@pytest.mark.parametrize("failing", ["shared", "alone", "beside", ""])
def test_a_whole_run_fails_where_one_of_its_parts_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failing: str
) -> None:
    """What computes runs beside what wants the machine alone, and its words are shown in the end."""
    python = tmp_path / "python"
    failed = ALWAYS[0] if failing == "beside" else "none"
    python.write_text(f'#!/bin/sh\necho "ran $*"\ncase "$*" in *{failed}*) exit 1;; esac\n')
    python.chmod(0o755)
    shared: list[str] = []

    def run_shared(_marks: str, *arguments: str, **_: int) -> int:
        shared.extend(arguments)
        return int(failing == "shared")

    monkeypatch.setattr("deploy.cli.test.sys.executable", str(python))
    monkeypatch.setattr(command, "_run_shared", run_shared)
    monkeypatch.setattr(command, "_run", lambda *_: int(failing == "alone"))

    ended = CliRunner().invoke(command.test)

    assert ended.exit_code == (1 if failing else 0)
    assert f"ran -P -m pytest -m not chaos and not benchmark {' '.join(ALWAYS)}" in ended.stdout
    assert shared == [f"--ignore={path}" for path in ALWAYS]


def test_what_runs_beside_is_interrupted_where_the_rest_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the signal at which pytest takes down what it has started."""
    python, began, cleaned = (tmp_path / name for name in ("python", "began", "cleaned"))
    loop = "while :; do sleep 0.05; done"
    python.write_text(f"#!/bin/sh\ntrap 'touch {cleaned}; exit 2' INT\ntouch {began}\n{loop}\n")
    python.chmod(0o755)
    monkeypatch.setattr("deploy.cli.test.sys.executable", str(python))

    def interrupted(*_: object, **__: object) -> int:
        while not began.exists():
            time.sleep(POLL_SECONDS)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_run_shared", lambda *_: 0)
    monkeypatch.setattr(command, "_run", interrupted)

    ended = CliRunner().invoke(command.test)

    assert ended.exit_code != 0
    assert cleaned.exists()


def test_changes_are_counted_from_where_the_branch_left_main(tmp_path: Path) -> None:
    """Committed, uncommitted and new files; not what main has done since, nor what git ignores."""
    with pytest.raises(UnknownChangesError):
        changed_paths(tmp_path)
    git(tmp_path, "init")
    for name in ("kept", "committed", "edited", "main's"):
        (tmp_path / name).write_text("1")
    (tmp_path / ".gitignore").write_text("ignored\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "switch", "-c", "mine")
    (tmp_path / "committed").write_text("2")
    git(tmp_path, "commit", "-am", "second")
    git(tmp_path, "switch", "main")
    (tmp_path / "main's").write_text("2")
    git(tmp_path, "commit", "-am", "third")
    git(tmp_path, "switch", "mine")
    for name in ("edited", "new", "ignored"):
        (tmp_path / name).write_text("3")

    assert changed_paths(tmp_path) == ["committed", "edited", "new"]


def test_on_main_what_is_not_committed_counts(tmp_path: Path) -> None:
    """There is no branch to compare with."""
    git(tmp_path, "init")
    (tmp_path / "edited").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    (tmp_path / "edited").write_text("2")

    assert changed_paths(tmp_path) == ["edited"]


@pytest.mark.parametrize(("changed", "left"), [(MOST_FILES, 0), (MOST_FILES + 2, 2)])
def test_a_quick_run_takes_the_nearest_and_says_what_it_leaves(
    monkeypatch: pytest.MonkeyPatch, changed: int, left: int
) -> None:
    """Unit tests and the story always; of the others so many as fit into a minute."""
    files = [f"tests/integration/test_{number}.py" for number in range(changed)]
    started: list[list[str]] = []

    def run(arguments: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        started.append(arguments)
        return subprocess.CompletedProcess(arguments, 1)

    monkeypatch.setattr(command, "integration_tests_of", lambda *_: files)
    monkeypatch.setattr(command, "changed_paths", lambda _: [])
    monkeypatch.setattr("deploy.cli.test.subprocess.run", run)

    ended = CliRunner().invoke(command.test, ["--quick", "-x"])

    assert ended.exit_code == 1
    (arguments,) = started
    assert "not slow" in arguments[arguments.index("-m", 3) + 1]
    taken = [*ALWAYS, *files[:MOST_FILES], BROWSER_STORY, "-x"]
    assert arguments[-len(taken) :] == taken
    assert ("Left to a whole run" in ended.stderr) == (left > 0)
