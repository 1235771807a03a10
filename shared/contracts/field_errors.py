"""What is wrong with the fields of a request, one by one: said in answers over HTTP and in replies on the bus."""

from __future__ import annotations

from typing import Final

from shared.contracts.messages import Message

MOST_NAMED: Final = 10
"""How many fields one refusal names: no answer is a multiple of what was sent."""


class FieldError(Message):
    """What is wrong with one field, in words its owner can act on."""

    field: str
    detail: str
