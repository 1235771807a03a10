"""How a command ends: 0 done, 1 failed, 2 wrong usage, 78 bad configuration; and what it says of a failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

FAILED: Final = 1
BAD_CONFIGURATION: Final = 78  # EX_CONFIG of sysexits.h


def run(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; failures that we know are one line on stderr, bugs are a trace.

    ``arguments`` are those of the process where none are given.
    """
    try:
        code = command.main(arguments, prog_name="latchkey", standalone_mode=False)
    except click.Abort:
        click.echo("Stopped.", err=True)
        return FAILED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:  # who read our output has read enough
        return FAILED
    except Exception as error:
        known = _known(error)
        if known is None:
            raise
        click.echo(f"Error: {error}", err=True)
        return known
    return code if isinstance(code, int) else 0


def _known(error: Exception) -> int | None:
    """The exit code of a failure that has a message for people; imported late, so that `--help` stays fast."""
    from deploy.backup.errors import BackupError
    from deploy.embedded.errors import EmbeddedError
    from shared.environment import ConfigurationError
    from shared.errors import StoreUnavailable
    from shared.migrations import MigrationError

    if isinstance(error, ConfigurationError):
        return BAD_CONFIGURATION
    if isinstance(error, BackupError | EmbeddedError | MigrationError | StoreUnavailable | OSError):
        return FAILED
    return None
