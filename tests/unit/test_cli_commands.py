"""The command line itself: what it offers, how it fails, what it loads."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deploy.cli import exit_codes
from deploy.cli.__main__ import COMMANDS, latchkey
from deploy.embedded import DataDirectoryInUse
from shared.environment import ConfigurationError, ConfigurationProblem
from shared.errors import StoreUnavailable

REPOSITORY = Path(__file__).resolve().parents[2]


def run_latchkey(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process, with this environment's Python."""
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", **variables}
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    """`latchkey NAME --help` explains the command, on stdout, and ends well."""
    shown = CliRunner().invoke(latchkey, [name, "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Usage: " in shown.stdout
    command = latchkey.get_command(click.Context(latchkey), name)
    assert command is not None
    assert command.help, "a command says what it does"


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_takes_a_secret_as_an_argument(name: str) -> None:
    """`ps` shows arguments to everybody on the machine: a secret comes from a prompt, a file or the environment."""
    command = latchkey.get_command(click.Context(latchkey), name)
    assert command is not None
    secret = re.compile(r"password|passphrase|secret|pepper|token|credential|(?:^|_)(?:database|redis)_url")
    assert [parameter for parameter in _parameters(command) if secret.search(parameter)] == []


def _parameters(command: click.Command) -> Iterator[str]:
    """The names of a command's options and arguments, and of those below it."""
    yield from (parameter.name or "" for parameter in command.params)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from _parameters(below)


def test_help_lists_the_commands_without_loading_them() -> None:
    """`latchkey --help` is quick: it imports no framework and no driver."""
    code = (
        "import sys; from deploy.cli.__main__ import latchkey; latchkey(['--help'], standalone_mode=False);"
        "sys.exit(', '.join({'aiohttp', 'asyncpg', 'redis', 'pydantic'} & set(sys.modules)) or None)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, f"loaded {shown.stderr}"
    assert all(name in shown.stdout for name in COMMANDS)


def test_wrong_usage_ends_with_2_and_says_so_on_stderr() -> None:
    """An unknown command and a bad option are wrong usage."""
    for arguments in (["bogus"], ["up", "--port", "nought"], ["serve", "nobody"]):
        ended = run_latchkey(*arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "Error: " in ended.stderr


def test_bad_configuration_ends_with_78_and_names_every_wrong_value() -> None:
    """All wrong values are told together, before anything is started."""
    ended = run_latchkey("serve", "auth-api", LATCHKEY_SIGN_UP="maybe", LATCHKEY_SECRET="short")
    assert (ended.returncode, ended.stdout) == (78, "")
    for name in ("LATCHKEY_SIGN_UP", "LATCHKEY_SECRET", "LATCHKEY_DATABASE_URL", "LATCHKEY_REDIS_URL"):
        assert name in ended.stderr
    assert "short" not in ended.stderr, "a secret is not shown"
    assert "Traceback" not in ended.stderr


def test_an_unreachable_database_fails_with_one_line() -> None:
    """`migrate` without PostgreSQL says so and ends with 1."""
    ended = run_latchkey("migrate", LATCHKEY_DATABASE_URL="postgresql://nobody:none@127.0.0.1:1/none")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: PostgreSQL: ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError([ConfigurationProblem("LATCHKEY_X", "a number", "'y'")]), 78),
        (DataDirectoryInUse("in use"), 1),
        (StoreUnavailable("redis", "down"), 1),
        (OSError("no space"), 1),
        (click.ClickException("failed"), 1),
        (click.UsageError("wrong"), 2),
        (click.Abort(), 1),
    ],
)
def test_known_failures_have_their_exit_codes(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure that we know is a line on stderr and a code."""

    @click.command()
    def failing() -> None:
        raise error

    assert run_without_arguments(failing) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err


def test_a_bug_is_not_disguised() -> None:
    """An error that we do not know keeps its trace."""

    @click.command()
    def failing() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_without_arguments(failing)


def run_without_arguments(command: click.Command) -> int:
    """Runs a command as the executable does, but not with pytest's own arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["latchkey"])
        return exit_codes.run(command)
