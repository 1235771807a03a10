"""`latchkey users`: accounts."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import click

from deploy.cli.auth_resources import ENDS_LATER, with_auth
from services.auth_api.accounts import administration
from services.auth_api.accounts.administration import UnknownUserError
from services.auth_api.accounts.service import create_account, password_problem, username_problem
from services.auth_api.db.repository import UsernameTakenError
from services.auth_api.resources import Resources
from shared.errors import StoreUnavailable

ResultT = TypeVar("ResultT")


@click.group()
def users() -> None:
    """Create, list, disable and enable accounts. Needs LATCHKEY_DATABASE_URL (see `latchkey env`)."""


@users.command()
@click.argument("name")
def create(name: str) -> None:
    """Make an account, also where sign-up is closed. The password is asked for, or is one line on stdin."""
    _refuse(username_problem(name), "The name")
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = _line_on_stdin()
    _refuse(password_problem(name, password), "The password")
    try:
        account = with_auth(lambda resources: create_account(resources, name, password, actor="operator"))
    except UsernameTakenError:
        raise click.ClickException(f"There is an account {name} already (ignoring case).") from None
    click.echo(json.dumps({"userID": account.user_id, "username": account.username}))


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_users(*, as_json: bool) -> None:
    """All accounts, oldest first."""
    accounts = with_auth(administration.list_accounts)
    if as_json:
        click.echo(json.dumps([account.model_dump(by_alias=True) for account in accounts], indent=2))
        return
    for account in accounts:
        state = "active" if account.disabled_on is None else "disabled"
        made = f"{datetime.fromtimestamp(account.created_on / 1000, UTC):%Y-%m-%d %H:%M}"
        click.echo(
            f"{account.user_id:>6}  {account.username:<30}  {state:<8}  {made}  {account.clients} clients"
        )


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """End an account: no sign-in, and every session, key and code of it is dead. Safe to repeat."""
    try:
        _change(name, lambda resources: administration.disable_user(resources, name), bus=True)
    except StoreUnavailable as error:
        if error.store == "postgres":
            raise
        click.echo(f"{name} is disabled. {ENDS_LATER}", err=True)
        return
    click.echo(f"{name} is disabled.", err=True)


@users.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let a disabled account sign in again. Its old keys stay dead."""
    _change(name, lambda resources: administration.enable_user(resources, name))
    click.echo(f"{name} is enabled.", err=True)


@users.command("set-password")
@click.argument("name")
def set_password(name: str) -> None:
    """Print a link with which the person sets a new password: once, within 24 hours. An older link is dead.

    Nobody but the person knows the new password, and nothing ends before they have set it. For scripts: a password that
    is one line on stdin is set at once instead. Either way every session of the account ends with the old password.
    """
    password = "" if sys.stdin.isatty() else _line_on_stdin()
    if not password:
        click.echo(_change(name, lambda resources: administration.make_password_reset(resources, name)))
        click.echo(f"Give this link to {name} alone: it works once, within 24 hours.", err=True)
        return
    _refuse(password_problem(name, password), "The password")
    _change(name, lambda resources: administration.set_password(resources, name, password))
    click.echo(f"{name} has a new password.", err=True)


def _change(name: str, work: Callable[[Resources], Awaitable[ResultT]], *, bus: bool = False) -> ResultT:
    try:
        return with_auth(work, bus=bus)
    except UnknownUserError:
        raise click.ClickException(f"There is no account {name}.") from None


def _line_on_stdin() -> str:
    """The first line, empty where there is none; a password is never an argument, which `ps` shows."""
    return sys.stdin.readline().rstrip("\r\n")


def _refuse(problem: str | None, what: str) -> None:
    if problem is not None:
        raise click.UsageError(f"{what} {problem}.")
