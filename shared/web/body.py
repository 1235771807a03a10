"""Request bodies and queries, read strictly: one media type, one value per name, text that every store can hold."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.contracts.field_errors import MOST_NAMED, FieldError
from shared.web.failures import Problem

LARGEST_BODY: Final = 64 * 1024
SMALL_BODY: Final = 4 * 1024
"""For JSON that is read where keys are checked: reading more of it would make the checks wait."""
MOST_PAIRS: Final = 200
DEEPEST_JSON: Final = 20
BYTES_A_VALUE: Final = 32
"""A JSON body may hold one value for so many bytes that it may be long: twenty thousand empty lists say nothing."""
BODY_SECONDS: Final = 3.0
LONGEST_NAME: Final = 60
"""Of what was sent, so much at most is repeated as the name of a field."""

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"

_NOT_TO_BE_KEPT: Final = re.compile("[\0\ud800-\udfff]")

ModelT = TypeVar("ModelT", bound=BaseModel)
Pairs = list[tuple[str, str]]


async def read_body(request: web.Request, largest: int = LARGEST_BODY) -> bytes:
    """The whole body, at most ``largest`` bytes; to be read once.

    Raises:
        Problem: 413 too large, 408 too slow, 400 broken framing or encoding, or a client that is gone.
    """
    if (request.content_length or 0) > largest:
        raise _too_large(largest)
    try:
        if request.content.is_eof():  # it came with the head, as small ones do: nothing to wait for
            body = request.content.read_nowait()
        else:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read_chunks(request, largest)
    except TimeoutError:
        raise Problem(408, "The body did not arrive in time.", headers={"Connection": "close"}) from None
    except OSError:
        raise Problem(400, "The connection ended before the body was read.") from None
    except (web.RequestPayloadError, web.PayloadAccessError, ValueError):
        raise Problem(400, "The body could not be read: wrong framing or content encoding.") from None
    if len(body) > largest:  # it did not say so beforehand
        raise _too_large(largest)
    return body


async def _read_chunks(request: web.Request, largest: int) -> bytes:
    """The body, or a little more than ``largest`` of it."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > largest:
            break
    return bytes(body)


def _too_large(largest: int) -> Problem:
    return Problem(413, f"The body is larger than {largest} bytes.")


def require_media_type(request: web.Request, *allowed: str) -> str:
    """The body's media type, one of ``allowed``, in UTF-8.

    Raises:
        Problem: 415 naming what was sent and what is understood.
    """
    sent = request.headers.getall("Content-Type", [])
    if len(sent) == 1 and sent[0] in allowed:  # as most clients spell it
        return sent[0]
    wanted = " or ".join(allowed)
    if len(sent) != 1:
        raise Problem(
            415, f"Content-Type must be {wanted}; it is missing or there twice.", code="invalid_request"
        )
    media_type, _, parameters = sent[0].partition(";")
    name = media_type.strip().lower()
    if name not in allowed:
        raise Problem(415, f"Content-Type must be {wanted}, not {_printable(name)}.", code="invalid_request")
    for parameter in parameters.split(";"):
        key, _, value = parameter.strip().partition("=")
        if key.strip().lower() == "charset" and value.strip(' "').lower() not in ("utf-8", "utf8"):
            raise Problem(415, "The charset of the Content-Type must be utf-8.", code="invalid_request")
    return name


async def read_form(request: web.Request) -> Pairs:
    """The pairs of an ``application/x-www-form-urlencoded`` body in their order, duplicates included.

    Raises:
        Problem: 415 for another media type, 413, 408, or 400 naming the field that is no UTF-8 or holds a NUL.
    """
    require_media_type(request, FORM)
    return parse_pairs(await read_body(request), "body")


def query_pairs(request: web.Request) -> Pairs:
    """The pairs of the query string as it was sent, in their order, duplicates included.

    Raises:
        Problem: 400 naming the parameter that is no UTF-8 or holds a NUL.
    """
    return parse_pairs(request.rel_url.raw_query_string.encode("utf-8", "surrogateescape"), "query")


def parse_pairs(raw: bytes, where: str) -> Pairs:
    """Decodes ``name=value&…`` (WHATWG URL §5.1, but strict about UTF-8 and NUL)."""
    if not raw:
        return []
    if raw.count(b"&") >= MOST_PAIRS:
        raise Problem(400, f"The {where} holds more than {MOST_PAIRS} parameters.", code="invalid_request")
    pairs = []
    try:
        for piece in raw.decode().split("&"):
            if piece:
                name, _, value = piece.partition("=")
                if "%" in piece or "+" in piece:
                    name, value = _unquoted(name), _unquoted(value)
                pairs.append((name, value))
        if b"\0" not in raw and b"%00" not in raw:
            return pairs
    except UnicodeDecodeError:
        pass
    # Once more and slowly, to name the parameter.
    pieces = (piece.partition(b"=") for piece in raw.split(b"&") if piece)
    return [(_decode(name, name, where), _decode(value, name, where)) for name, _, value in pieces]


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode() if "%" in text or "+" in text else text


def _decode(raw: bytes, name: bytes, where: str) -> str:
    try:
        text = (unquote_to_bytes(raw.replace(b"+", b" ")) if b"%" in raw or b"+" in raw else raw).decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        field = _printable(name[:40].decode("utf-8", "replace"))
        detail = "must be UTF-8 without NUL characters"
        raise Problem(
            400,
            f"{where} parameter {field} {detail}.",
            code="invalid_request",
            errors=(FieldError(field=field, detail=detail),),
        )
    return text


async def read_json_object(request: web.Request, largest: int = LARGEST_BODY) -> dict[str, Any]:
    """The body as a JSON object without duplicate names, NUL characters or lone surrogates.

    Raises:
        Problem: 415, 413, 408, or 400 saying what is malformed.
    """
    require_media_type(request, JSON)
    return parse_json_object(await read_body(request, largest), largest)


def parse_json_object(raw: bytes, largest: int = LARGEST_BODY) -> dict[str, Any]:
    """See ``read_json_object``."""
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except RecursionError:
        raise Problem(400, "The JSON is nested too deeply.", code="invalid_request") from None
    except _RepeatedNameError as error:
        detail = "must not be there twice"
        raise Problem(
            400,
            f"{error.name} {detail}.",
            code="invalid_request",
            errors=(FieldError(field=error.name, detail=detail),),
        ) from None
    except ValueError as error:
        reason = str(error) if isinstance(error, _MalformedJsonError) else "it is not valid UTF-8 JSON"
        raise Problem(400, f"The body must be a JSON object: {reason}.", code="invalid_request") from None
    if not isinstance(value, dict):
        raise Problem(400, "The body must be a JSON object.", code="invalid_request")
    if not _holds_few(value, largest // BYTES_A_VALUE):
        raise Problem(400, "The JSON holds too many values.", code="invalid_request")
    _check_text(value, "", 0)
    return value


async def read_json(request: web.Request, model: type[ModelT], largest: int = LARGEST_BODY) -> ModelT:
    """The body as ``model``; unknown and wrong fields are refused, each by name.

    Raises:
        Problem: as ``read_json_object``, and 400 with ``errors`` for the fields.
    """
    return validated(model, await read_json_object(request, largest))


def validated(model: type[ModelT], value: Mapping[str, Any]) -> ModelT:
    """``value`` as ``model``, or a 400 that names each wrong field (never its value)."""
    try:
        return model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        fields = tuple(
            FieldError(field=_field_name(item["loc"]), detail=_sentence(item))
            for item in error.errors(include_url=False, include_input=False)[: MOST_NAMED + 1]
        )
    raise refused_fields(fields)


def refused_fields(fields: Iterable[FieldError]) -> Problem:
    """The 400 for wrong fields, of which it names the first."""
    listed = tuple(islice(fields, MOST_NAMED + 1))
    names = ", ".join(dict.fromkeys(_printable(error.field) for error in listed[:MOST_NAMED]))
    more = " and more" if len(listed) > MOST_NAMED else ""
    return Problem(400, f"Wrong or missing: {names}{more}.", code="invalid_request", errors=listed)


def json_response(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """``data`` as JSON, not to be cached unless ``headers`` says otherwise."""
    return web.Response(
        body=orjson.dumps(data),
        status=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        content_type=JSON,
        charset="utf-8",
    )


class _MalformedJsonError(ValueError):
    """A JSON fault of ours to name, beyond what the parser says."""


class _RepeatedNameError(ValueError):
    """A name that an object holds twice: neither of its values can be believed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = _printable(name)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_PAIRS:
        raise _MalformedJsonError(f"an object in it has more than {MOST_PAIRS} members")
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _RepeatedNameError(name)
        found[name] = value
    return found


def _refuse_constant(_name: str) -> NoReturn:
    raise _MalformedJsonError("NaN and Infinity are no JSON numbers")


def _holds_few(value: Any, most: int) -> bool:
    """Whether this and all that is in it are at most so many values; no more of them are looked at."""
    waiting, found = [value], 0
    while waiting:
        item = waiting.pop()
        found += 1
        if isinstance(item, dict | list):
            if found + len(waiting) + len(item) > most:
                return False
            waiting.extend(item.values() if isinstance(item, dict) else item)
    return True


def _check_text(value: Any, path: str, depth: int) -> None:
    if depth > DEEPEST_JSON:
        raise Problem(400, "The JSON is nested too deeply.", code="invalid_request")
    if isinstance(value, str):
        if _NOT_TO_BE_KEPT.search(value):
            detail = "must not hold NUL characters or lone surrogates"
            field = _printable(path)
            raise Problem(
                400,
                f"{field} {detail}.",
                code="invalid_request",
                errors=(FieldError(field=field, detail=detail),),
            )
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name, "a name", depth + 1)
            _check_text(item, (f"{path}.{name}" if path else name)[:LONGEST_NAME], depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_text(item, f"{path}[{index}]", depth + 1)


def _field_name(location: tuple[int | str, ...]) -> str:
    return _printable(".".join(str(part)[:LONGEST_NAME] for part in location) or "body")


_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "literal_error": "must be {expected}",
    "string_too_short": "must be {min_length} or more characters long",
    "too_long": "must have at most {max_length} entries",
    "string_too_long": "must be at most {max_length} characters long",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}
"""What pydantic finds → how we say it after the field's name, in the words of the rules that are ours."""


def _sentence(item: ErrorDetails) -> str:
    known = _SENTENCES.get(item["type"])
    return item["msg"] if known is None else known.format(**item.get("ctx", {}))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:LONGEST_NAME])
