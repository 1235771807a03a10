"""`latchkey doctor`: what is wrong with a deployment, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from deploy.cli.exit_codes import BAD_CONFIGURATION, FAILED
from deploy.cli.options import data_dir_option
from deploy.doctor import Finding, Verdict, examine
from deploy.doctor.configuration import AREA as CONFIGURATION
from deploy.doctor.findings import has_problem
from deploy.service_table import NEEDS
from shared.telemetry.logs import configure_logging

_COLOURS: Final = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.PROBLEM: "red",
    Verdict.UNKNOWN: "bright_black",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option(
    "--service",
    type=click.Choice(list(NEEDS)),
    default=None,
    help="Look at what this service needs, and no more.",
)
@data_dir_option
def doctor(*, as_json: bool, service: str | None, data_dir: Path) -> None:
    """Examine configuration, stores, schemas, roles, clocks and streams; works while things are down.

    Looks at what LATCHKEY_… in the environment names or, without any, at the servers of the data directory.
    Exit code: 0 no problem (there may be warnings), 1 a problem, 78 a problem of the configuration.
    """
    configure_logging(level="error", log_format="console", service="doctor")
    findings = asyncio.run(examine(_environment(os.environ, data_dir), service))
    if as_json:
        healthy = not has_problem(findings)
        click.echo(
            json.dumps({"healthy": healthy, "findings": [one.as_dict() for one in findings]}, indent=2)
        )
    else:
        _print_table(findings)
    if has_problem(findings, CONFIGURATION):
        sys.exit(BAD_CONFIGURATION)
    sys.exit(FAILED if has_problem(findings) else 0)


def _environment(given: Mapping[str, str], data_dir: Path) -> Mapping[str, str]:
    """The environment, completed by what a data directory remembers if it names no store itself."""
    names_stores = any(
        name.startswith("LATCHKEY_") and ("DATABASE_URL" in name or "REDIS_URL" in name) for name in given
    )
    if names_stores:
        return given
    from deploy.embedded import DataDirectory

    memory = DataDirectory(data_dir).recall() if data_dir.exists() else None
    if memory is None:
        return given
    click.echo(f"Looking at the servers of {data_dir}", err=True)
    return {**given, **memory.environment()}


def _print_table(findings: Sequence[Finding]) -> None:
    area = ""
    width = max((len(one.subject) for one in findings), default=0)
    for one in findings:
        if one.area != area:
            area = one.area
            click.echo(area)
        word = click.style(f"{one.verdict.value:8}", fg=_COLOURS[one.verdict])
        click.echo(f"  {word} {one.subject:{width}}  {one.detail}")
        if one.advice:
            click.echo(f"  {'':8} {'':{width}}  → {one.advice}")
    count = {verdict: sum(one.verdict is verdict for one in findings) for verdict in Verdict}
    click.echo(
        f"{count[Verdict.PROBLEM]} problems, {count[Verdict.WARNING]} warnings, {count[Verdict.OK]} well",
        err=True,
    )
