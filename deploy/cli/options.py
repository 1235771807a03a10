"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

REPOSITORY: Final = Path(__file__).resolve().parent.parent.parent

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=REPOSITORY / ".latchkey",
    show_default=".latchkey beside the executable",
    help="Where the data is kept.",
)
