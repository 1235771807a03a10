"""The JSON of the REST interface as models: `snake_case` in our code, `camelCase` with `ID` and `API` outside."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

MOST_LISTED: Final = 200
"""Entries of a list in a request, unless its field allows fewer: what is wrong with the rest is not even looked at."""

Texts = Annotated[list[str], Field(max_length=MOST_LISTED)]
"""A list of texts in a request."""

Milliseconds = Annotated[int, Field(description="Unix time in milliseconds")]

_CAPITALS: Final = frozenset({"id", "api"})


def public_name(field: str) -> str:
    """A field's name outside: ``created_on`` is ``createdOn``, ``from_api_client`` is ``fromAPIClient``."""
    first, *rest = field.split("_")
    return first + "".join(word.upper() if word in _CAPITALS else word.capitalize() for word in rest)


PUBLIC_NAMES: Final = ConfigDict(alias_generator=public_name, populate_by_name=True)
"""For a model that is also read or written under its public names (``by_alias``)."""


def _may_grow(schema: dict[str, Any]) -> None:
    schema.pop("additionalProperties", None)


ANSWERED: Final = ConfigDict(**PUBLIC_NAMES, json_schema_extra=_may_grow)
"""For a message of the bus that an endpoint answers as it is: a reader of the description must expect new members."""


class Document(BaseModel):
    """What an endpoint answers."""

    model_config = PUBLIC_NAMES

    @classmethod
    def of(cls, source: object, **more: object) -> dict[str, Any]:
        """The members of this document that ``source`` has as attributes, and ``more``, under their public names."""
        found = {name: getattr(source, name) for name in cls.model_fields if hasattr(source, name)}
        return cls.model_validate({**found, **more}).model_dump(by_alias=True, exclude_unset=True)


class Body(BaseModel):
    """What an endpoint is sent: every type exact, every unknown field refused."""

    model_config = ConfigDict(**PUBLIC_NAMES, extra="forbid", strict=True)
