"""`latchkey users`: accounts."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import click

from deploy.cli.auth_resources import ENDS_LATER, with_auth
from services.auth_api.accounts import administration
from services.auth_api.accounts.administration import UnknownUserError
from services.auth_api.accounts.service import create_account, password_problem, username_problem
from services.auth_api.db.repository import UsernameTakenError
from services.auth_api.resources import Resources
from shared.errors import StoreUnavailable


@click.group()
def users() -> None:
    """Create, list, disable and enable accounts. Needs LATCHKEY_DATABASE_URL (see `latchkey env`)."""


@users.command()
@click.argument("name")
def create(name: str) -> None:
    """Make an account, also where sign-up is closed. The password is asked for, or is one line on stdin."""
    _refuse(username_problem(name), "The name")
    password = _read_password()
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
    """Give an account a new password, asked for or one line on stdin. Its sessions end."""
    password = _read_password()
    _change(name, lambda resources: administration.set_password(resources, name, password))
    click.echo(f"{name} has a new password.", err=True)


def _change(name: str, work: Callable[[Resources], Awaitable[None]], *, bus: bool = False) -> None:
    try:
        with_auth(work, bus=bus)
    except UnknownUserError:
        raise click.ClickException(f"There is no account {name}.") from None


def _read_password() -> str:
    """From a prompt that shows nothing, or the first line of stdin; never from an argument, which `ps` shows."""
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    _refuse(password_problem(password), "The password")
    return password


def _refuse(problem: str | None, what: str) -> None:
    if problem is not None:
        raise click.UsageError(f"{what} {problem}.")
