"""`python -m tests.weakened [AC-NN … | rule]`: weakens one rule after the other in a copy of the tree, and runs its tests.

A case is `caught` where a test fails and `SURVIVED` where none does. Ends with 1 where anything but `caught` came out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from tests.harness.backends import run_folder, start_once
from tests.weakened.derived import derive
from tests.weakened.source_tree import Module, OutdatedError, read_modules
from tests.weakened.table import WEAKENINGS
from tests.weakened.weakening import Weakening

REPOSITORY: Final = Path(__file__).resolve().parents[2]
_SECONDS: Final = 900
_VERSIONS: Final = count(1)


def main(wanted: Sequence[str]) -> int:
    """Runs the weakenings of the wanted cases, or all."""
    modules = read_modules(REPOSITORY)
    every = [*WEAKENINGS, *derive(modules)]
    chosen = [weakening for weakening in every if not wanted or weakening.case in wanted]
    missing = set(wanted) - {weakening.case for weakening in chosen}
    if missing:
        sys.stderr.write(f"no weakening for {', '.join(sorted(missing))}\n")
        return 2
    results = []
    with _copy() as tree, _stores() as environ:
        for weakening in chosen:
            started = time.monotonic()
            result, details = _try(tree, weakening, modules, environ)
            results.append(result)
            seconds = time.monotonic() - started
            sys.stdout.write(f"{weakening.case}  {result}  {weakening.what}  ({seconds:.0f} s)\n{details}")
            sys.stdout.flush()
    caught = results.count("caught")
    sys.stdout.write(f"{caught} of {len(results)} weakenings caught\n")
    return 0 if caught == len(results) else 1


@contextmanager
def _copy() -> Iterator[Path]:
    """What is, or is about to be, under version control, as it stands on the disk."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="latchkey-weakened-") as folder:
        tree = Path(folder)
        tree.chmod(0o755)  # the account of the embedded servers passes through it
        for name in filter(None, listing.stdout.split("\0")):
            if (REPOSITORY / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, tree / name)
        yield tree


@contextmanager
def _stores() -> Iterator[dict[str, str]]:
    """One PostgreSQL and one Valkey for all runs, and this Python for the services of the copy."""
    with run_folder() as folder:
        memory = start_once(folder)
        yield {
            **{name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")},
            "LATCHKEY_VENV": sys.prefix,
            "LATCHKEY_TEST_DATABASE_URL": memory.database_url,
            "LATCHKEY_TEST_REDIS_URL": memory.redis_url,
        }


def _try(tree: Path, weakening: Weakening, modules: list[Module], environ: dict[str, str]) -> tuple[str, str]:
    changed: dict[str, str] = {}
    try:
        changed = weakening.apply(REPOSITORY, modules)
        for path, source in changed.items():
            (tree / path).write_text(source, encoding="utf-8")
            _renew(tree / path)
        return _run_tests(tree, weakening, environ)
    except OutdatedError as error:
        return "OUTDATED", f"    {error}\n"
    except subprocess.TimeoutExpired:
        return "BROKEN", f"    the tests took longer than {_SECONDS} s; they should fail, not wait\n"
    finally:
        for path in changed:
            shutil.copy2(REPOSITORY / path, tree / path)
            _renew(tree / path)


def _renew(file: Path) -> None:
    """Dates a file as no version of it was, since Python knows its bytecode by the date in whole seconds."""
    date = time.time() + next(_VERSIONS)
    os.utime(file, (date, date))


def _run_tests(tree: Path, weakening: Weakening, environ: dict[str, str]) -> tuple[str, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", "--maxfail=3"]
    finished = subprocess.run(
        [*command, "-k", weakening.expression, *weakening.test_paths(REPOSITORY)],
        cwd=tree,
        env=environ,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    lines = finished.stdout.splitlines()
    failed = [line for line in lines if line.startswith("FAILED ")]
    broken = [line for line in lines if line.startswith("ERROR tests/")]
    if finished.returncode == 1 and failed and not broken:
        return "caught", "".join(f"    {line[:150]}\n" for line in failed)
    if finished.returncode == 0:
        return "SURVIVED", "".join(f"    {line}\n" for line in lines[-1:])
    return "BROKEN", "".join(f"    {line}\n" for line in lines[-12:]) + finished.stderr[-500:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
