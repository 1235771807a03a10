"""The command line: which command lives where. A command's module is imported when it is run, and not before."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from importlib import import_module
from typing import Final

import click

from deploy.cli import exit_codes
from shared.process import gc_frozen

COMMANDS: Final = {
    # name: (where its click command is, what --help says of it)
    "up": ("deploy.cli.up:up", "Run everything on one port."),
    "demo": ("deploy.cli.demo:demo", "Run a sample integrator site."),
    "backends": ("deploy.cli.backends:backends", "Run PostgreSQL and Valkey alone."),
    "env": ("deploy.cli.backends:env", "Print the environment of what runs."),
    "serve": ("deploy.cli.serve:serve", "Run one service."),
    "migrate": ("deploy.cli.migrate:migrate", "Bring the database up to date."),
    "backup": ("deploy.cli.backup:backup", "Copy the database into a file."),
    "restore": ("deploy.cli.restore:restore", "Fill an empty database from a backup, or verify one."),
    "users": ("deploy.cli.users:users", "Create, list, disable and enable accounts."),
    "clients": ("deploy.cli.clients:clients", "Create, list, show and delete clients."),
    "keys": ("deploy.cli.keys:keys", "List, show and revoke keys."),
    "service-key": ("deploy.cli.keys:service_key", "Make keys for resource servers."),
    "bus": ("deploy.cli.bus:bus", "Look at the message bus and mend it."),
    "init": ("deploy.cli.init:init", "Make the secrets and .env for docker-compose."),
    "doctor": ("deploy.cli.doctor:doctor", "Examine a deployment."),
    "test": ("deploy.cli.test:test", "Run the test-suite."),
    "check": ("deploy.cli.check:check", "Check formatting, lint, types and imports."),
}


class Commands(click.Group):
    """The commands of the table above."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Imports the command."""
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name][0].split(":")
        with gc_frozen() if __name__ == "__main__" else nullcontext():  # a test's process is not ours
            command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists them without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def latchkey() -> None:
    """API keys by consent.

    Start with `./latchkey up`. Data goes to stdout, everything else to stderr.
    Exit codes: 0 done, 1 failed, 2 wrong usage, 78 bad configuration.
    """


if __name__ == "__main__":
    sys.exit(exit_codes.run(latchkey))
