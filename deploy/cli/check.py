"""`latchkey check`: formatting, lint, types and the directions of imports; all of them, whatever the first says."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import click

from deploy.cli.options import REPOSITORY

# By module or code, not by script: a script names the place where the environment was made.
_TOOLS: Final = {
    "ruff format": ("-m", "ruff", "format", "--check"),
    "ruff check": ("-m", "ruff", "check"),
    "mypy --strict": ("-m", "mypy", "--strict"),
    "import-linter": ("-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"),
}


@click.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Check formatting, lint, types and import rules; reports on all four."""
    failed = []
    for name, arguments in _TOOLS.items():
        click.echo(f"── {name}", err=True)
        if subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, check=False).returncode:
            failed.append(name)
    if failed:
        click.echo(f"Failed: {', '.join(failed)}", err=True)
        context.exit(1)
    click.echo(f"All is well: {', '.join(_TOOLS)}", err=True)
