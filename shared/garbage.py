"""Python's garbage collector, and what a process makes once for its whole life: modules, classes, an application."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def made_to_stay() -> Iterator[None]:
    """What is made inside stays: the collector looks at it neither meanwhile, nor later, nor when the process ends.

    For the start of a process of our own. It spares an eighth of the imports, and as much as a fifth of them again at
    the end, where Python would look through all of it once more.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
