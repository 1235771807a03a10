"""``python -m tests.benchmarks``: measures and prints a table. See ``--help``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import click

from tests.benchmarks.measure import CASES, Effort, Row, measure
from tests.benchmarks.population import make_population
from tests.benchmarks.rig import Rig, running_rig
from tests.harness.processes import SERVICES

_COLUMNS: Final = "{:<18} {:>6} {:>10} {:>10} {:>7} {:>9} {:>9}"
_CPU: Final = "{:<18} {:>6}"


@click.command()
@click.option("--connections", default="1,16,64", show_default=True, help="Numbers of connections.")
@click.option("--only", default=",".join(CASES), show_default=True, help="Which cases.")
@click.option("--rounds", default=3, show_default=True, help="The bare handler and ours take turns so often.")
@click.option("--seconds", default=3.0, show_default=True, help="How long a check is loaded.")
@click.option("--codes", default=2000, show_default=True, help="How many codes are exchanged in a round.")
@click.option("--people", default=40, show_default=True)
@click.option("--clients", default=40, show_default=True)
@click.option("--workers", default=1, show_default=True, help="Processes of each service.")
def main(
    connections: str,
    only: str,
    rounds: int,
    seconds: float,
    codes: int,
    people: int,
    clients: int,
    workers: int,
) -> None:
    """Measure exchanges, verify and introspect against a bare aiohttp handler that parses the same form."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    click.echo(f"{os.cpu_count()} cores, load average {load} before the start")
    cases = only.split(",")
    with running_rig(workers, beside=("bare", "floor") if "floor" in cases else ("bare",)) as rig:
        population = make_population(rig, people=people, clients=clients)
        counts = [int(count) for count in connections.split(",")]
        rows = measure(population, cases, counts, Effort(rounds, seconds, codes))
        report(rows, rig)


def report(rows: Sequence[Row], rig: Rig) -> None:
    """Prints the table, and the memory of each service."""
    click.echo(_COLUMNS.format("case", "conns", "ours/s", "bare/s", "ratio", "p50 ms", "p99 ms"))
    for row in rows:
        numbers = (f"{row.per_second:.0f}", f"{row.bare_per_second:.0f}", f"{row.ratio:.2f}")
        times = (f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}")
        click.echo(_COLUMNS.format(row.case, row.connections, *numbers, *times))
    click.echo("\nProcessor time of one request, in microseconds:")
    parts = list(rows[0].cpu_us)
    click.echo(_CPU.format("case", "conns") + "".join(f"{part:>12}" for part in (*parts, "all", "bare")))
    for row in rows:
        spent = [row.cpu_us[part] for part in parts]
        click.echo(
            _CPU.format(row.case, row.connections)
            + "".join(f"{us:>12.0f}" for us in (*spent, sum(spent), row.bare_cpu_us))
        )
    click.echo()
    for service in SERVICES:
        click.echo(f"memory of {service}: {rig.memory_mb(service):.0f} MB at most")


if __name__ == "__main__":
    main()
