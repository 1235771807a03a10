"""The processor time that programs have spent, by name: unlike rates it hardly depends on what else runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")


def seconds_of(trees: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Seconds spent by processes and all their descendants, the ended ones included; by the name of the tree."""
    stats = _stats()
    return {name: sum(_seconds(pid, stats) for pid in roots) for name, roots in trees.items()}


def children_named(pid: int, name: str) -> list[int]:
    """The children of a process that run a program of that name (or of a name that begins so)."""
    return [
        child
        for child, (parent, command, _) in _stats().items()
        if parent == pid and command.startswith(name)
    ]


def _seconds(pid: int, stats: Mapping[int, tuple[int, str, float]]) -> float:
    own = stats[pid][2] if pid in stats else 0.0
    return own + sum(_seconds(child, stats) for child, (parent, _, _) in stats.items() if parent == pid)


def _stats() -> dict[int, tuple[int, str, float]]:
    """Every process: its parent, its program, its seconds with those of its ended children."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it has just ended
        command = text[text.index("(") + 1 : text.rindex(")")]
        fields = text[text.rindex(")") + 2 :].split()
        found[int(folder.name)] = (int(fields[1]), command, sum(map(int, fields[11:15])) / TICKS)
    return found
