"""`latchkey service-key`: keys for resource servers."""

from __future__ import annotations

import click

from deploy.cli.issuer_database import with_issuer
from services.key_issuer.issuer import Issuer
from services.key_issuer.operators import SERVICE_PERMISSIONS, keep_service_key
from shared.api_key import SERVICE_KEY, mint_key
from shared.settings import Settings


@click.group("service-key")
def service_key() -> None:
    """Make keys for resource servers. Needs LATCHKEY_DATABASE_URL and LATCHKEY_KEY_PEPPER (see `latchkey env`)."""


@service_key.command()
@click.option("--name", required=True, help="Whose key it is, for you.")
@click.option(
    "--permission",
    "permissions",
    type=click.Choice(SERVICE_PERMISSIONS),
    multiple=True,
    required=True,
    help="What it may do; give it again for more.",
)
def create(name: str, permissions: tuple[str, ...]) -> None:
    """Make a service key and print it, once: only its digest is kept."""
    if not name.strip() or not name.isprintable():
        raise click.UsageError("The name must be printable and not empty.")

    async def make(issuer: Issuer, settings: Settings) -> str:
        minted = mint_key(settings.key_prefix, SERVICE_KEY, settings.public_url)
        await keep_service_key(issuer, minted, name.strip(), tuple(dict.fromkeys(permissions)))
        click.echo(f"The id of this key is {minted.key_id}; `latchkey keys revoke` ends it.", err=True)
        return minted.token

    click.echo(with_issuer(make))
