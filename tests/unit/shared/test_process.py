"""What a process makes once, out of the garbage collector's sight."""

from __future__ import annotations

import subprocess
import sys

from tests.harness.processes import REPOSITORY

PROGRAM = """
import gc
from shared.process import gc_frozen

with gc_frozen():
    assert not gc.isenabled(), "it does not look meanwhile"
    made = [[]]
assert gc.isenabled(), "it looks at what is made from now on"
seen = gc.get_objects()
assert not any(each is made for each in seen), "nor later"
try:
    with gc_frozen():
        raise ImportError
except ImportError:
    assert gc.isenabled(), "also where the start fails"
"""


def test_what_is_made_to_stay_is_not_looked_at_again() -> None:
    """The collector rests while a process makes what it keeps, leaves that alone for ever, and works for all the rest."""
    # In a process of its own: this one's objects are not made to stay.
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
