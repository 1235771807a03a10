"""Which tests of the whole suite stay together when several processes share it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Final

from xdist.scheduler import LoadScopeScheduling

_TOGETHER: Final = ("tests/browser/", "tests/interop/")
"""Folders whose tests share what takes long to start: a browser, compilers."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """Each process takes a whole file at a time, since its tests share services; some folders are taken whole.

    In the order of collection: the long stories come first, and the short tests fill up what is left.
    """

    def __init__(self, config: Any, log: Any = None) -> None:
        """Made by ``pytest_xdist_make_scheduler``."""
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in _TOGETHER if file.startswith(folder)), str(PurePosixPath(file)))
