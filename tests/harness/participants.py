"""Everything that people and programs hold in clear while they use a site, read off the HTTP that they speak."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import httpx

from deploy.demo_app.browser import parse
from tests.harness.routing import ByPath

PEER: Final = "203.0.113.77"
"""Where all of them are."""
PUBLIC: Final = frozenset(
    {
        # Names of things, which logs and addresses show.
        *("clientID", "client_id", "keyID", "key_id", "fromAPIClient", "request_id", "X-Request-ID"),
        *("sessionID", "session_id", "webhook_id", "publicKey"),
        *("username", "name", "identifier", "label", "description", "client_name"),
        # What a program asks for, and where its answer goes; state and context are the program's own and are passed on.
        *(
            "permissions",
            "requestedPermissions",
            "requested_permissions",
            "scope",
            "grant_type",
            "response_type",
        ),
        *("redirectUri", "redirectUris", "redirect_uri", "redirect_uris", "state", "context", "iss"),
        *("code_challenge", "code_challenge_method", "codeChallenge", "codeChallengeMethod"),
        *("homepage", "apiKeyFormat", "apiKeyFilename", "api_key_format", "api_key_filename"),
        # Sentences of ours.
        *("title", "detail", "cause", "error", "error_description", "step", "result", "by"),
    }
)
"""Names of parameters, fields and headers whose values are no secrets. Every other value of some length counts as one."""
SHORT: Final = frozenset({"password", "user_code"})
"""Names of secrets that people type, short as they are."""
_LONG: Final = re.compile(r"[0-9A-Za-z_~-]{16,}")


class Participants(ByPath):
    """Passes requests on, as a proxy in front that tells the services who asks, and keeps what was said."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        """As ``ByPath``."""
        super().__init__(urls)
        self.held: dict[str, set[str]] = defaultdict(set)
        """Name → values that count as secrets."""
        self.public: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The service's answer."""
        request.headers["X-Forwarded-For"] = PEER
        said = [
            *_of_headers(request.headers),
            *_of_query(str(request.url)),
            *_of_body(request.headers, request.content),
        ]
        answer = await super().handle_async_request(request)
        await answer.aread()
        said += [*_of_headers(answer.headers), *_of_query(answer.headers.get("Location", ""))]
        said += _of_body(answer.headers, answer.content)
        for name, value in said:
            self._note(name, value)
        return answer

    def secrets(self) -> dict[str, str]:
        """Text → the name under which it was said; what was said under a public name too is none. The peer is one."""
        known = "\n".join(self.public)
        return {PEER: "peer"} | {
            value: name
            for name, values in self.held.items()
            for value in values
            if value and value not in known
        }

    def _note(self, name: str, value: str) -> None:
        if name in PUBLIC:
            self.public.add(value)
        elif name in SHORT:
            self.held[name] |= {value, value.replace("-", "")}
        else:
            self.held[name] |= set(_LONG.findall(value))


def forms_of(secret: str) -> Iterator[bytes]:
    """How a text may lie in what a server keeps: as it is, in small letters, or anywhere within base64."""
    plain = secret.encode()
    yield plain
    yield plain.lower()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + plain)
        whole = encoded[-(-8 * before // 6) : (before + len(plain)) * 8 // 6]
        yield whole
        yield whole.translate(bytes.maketrans(b"+/", b"-_"))


def found_in(haystack: bytes, secrets: Mapping[str, str]) -> list[str]:
    """Which of the secrets (text → name) are there, in whatever form; the names first."""
    return sorted(
        f"{name}: {secret}"
        for secret, name in secrets.items()
        if any(len(form) > 6 and form in haystack for form in forms_of(secret))
    )


Said = Iterable[tuple[str, str]]


def _of_headers(headers: httpx.Headers) -> Said:
    for name, value in headers.multi_items():
        if name == "cookie":
            yield from (("cookie", part.partition("=")[2]) for part in value.split("; "))
        elif name == "set-cookie":
            yield "cookie", value.partition(";")[0].partition("=")[2]
        elif name == "authorization" and value.startswith("Basic "):
            client_id, _, secret = base64.b64decode(value.removeprefix("Basic ")).decode().partition(":")
            yield "client_id", unquote_plus(client_id)
            yield "client_secret", unquote_plus(secret)
        elif name in ("authorization", "idempotency-key"):
            yield name, value
        elif name == "x-request-id":
            yield "X-Request-ID", value


def _of_query(url: str) -> Said:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def _of_body(headers: httpx.Headers, body: bytes) -> Said:
    kind = headers.get("Content-Type", "").partition(";")[0]
    if kind == "application/x-www-form-urlencoded":
        return parse_qsl(body.decode(), keep_blank_values=True)
    if kind in ("application/json", "application/problem+json") and body:
        return _of_json("", json.loads(body))
    if kind == "text/html":
        return _of_page(body.decode())
    return ()


def _of_json(name: str, value: Any) -> Said:
    if isinstance(value, dict):
        for member, held in value.items():
            yield from _of_json(member, held)
    elif isinstance(value, list):
        for held in value:
            yield from _of_json(name, held)
    elif isinstance(value, str):
        yield name, value
        yield from _of_query(value)


def _of_page(html: str) -> Said:
    """Fields of forms, addresses of links, what stands in areas to copy, and files within the page."""
    page = parse("http://site.example/", 200, html, "")
    for form in page.forms:
        for name, value in form.fields.items():
            yield from _of_query(value) if value.startswith("/") else ((name, value),)
        yield from _of_query(form.action)
    for _, address in page.links:
        yield from _of_query(address)
    yield from (
        ("shown on a page", text) for text in re.findall(r"lk[a-z]_[0-9A-Za-z_]{40,}|whsec_[^\"]+", html)
    )
    for file in re.findall(r"base64,([^\"]+)", html):
        try:
            yield "file", base64.b64decode(file.replace("&#43;", "+"), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
