"""What one hostile client sends: each attack as whole requests, by service, to be repeated as fast as it can."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from string import ascii_lowercase
from typing import Final

from tests.chaos.wire import FORM, Headers, form_request, http_request, json_request

AUTH: Final = "auth-api"
PAGES: Final = "consent-ui"
KEYS: Final = "key-issuer"

Shot = tuple[str, bytes]
"""A service and a request."""

_NAMES: Final = 8_100
"""As many members as a body of 64 KiB holds."""
_LONG: Final = 15_000
"""What fits into a request's first line beside its path."""
_CALLBACK: Final = "https://hostile.example/cb"


@dataclass(frozen=True, slots=True)
class Means:
    """What anybody can have after a minute: an account with its clients, and more accounts."""

    origin: str
    cookie: str
    """Of the account that owns the clients."""
    client_id: str
    public_id: str
    """Of a client without a secret, which may push requests."""
    password: str
    usernames: Sequence[str]

    @property
    def browser(self) -> Headers:
        """The headers of the account's browser."""
        return [("Cookie", self.cookie), ("Origin", self.origin)]


def slow_hosts(means: Means) -> Iterator[Shot]:
    """A1: names that a careless pattern tries in exponentially many ways, wherever an address is read."""
    hosts = [
        "a" * 28 + "_",
        "a" * 60 + "_",
        "a-" * 30 + "_",
        "a." * 120 + "_",
        "a" * 250 + "!",
        "-" * 60,
        "1." * 100 + "_",
        "xn--" * 60 + "_",
    ]
    path = f"/api/v1/clients/{means.client_id}"
    for uri in [
        *(f"https://{host}" for host in hosts),
        f"https://[{'a:' * 100}",
        "com." + "a." * 100 + "_:/",
    ]:
        for field in ("homepage", "webhookUri", "redirectUri"):
            yield AUTH, json_request("PATCH", path, {field: uri}, means.browser)
        new = {"name": "Hostile", "requestedPermissions": ["submit_score"], "redirectUri": _CALLBACK}
        yield AUTH, json_request("POST", "/api/v1/clients", {**new, "homepage": uri}, means.browser)
        yield (
            AUTH,
            json_request("POST", "/api/v1/oauth/register", {"redirect_uris": [uri], "client_uri": uri}),
        )
        pushed = {"client_id": means.public_id, "response_type": "code", "redirect_uri": uri}
        yield AUTH, form_request("/api/v1/oauth/par", pushed)
        yield PAGES, http_request("GET", f"/oauth/authorize?client_id={means.client_id}&redirect_uri={uri}")


def many_names(means: Means) -> Iterator[Shot]:
    """A2: thousands of names, the last one there twice, in everything that is read before anybody is known."""
    names = ["".join(letters) for letters in islice(product(ascii_lowercase, repeat=3), _NAMES - 1)]
    members = ",".join(f'"{name}":0' for name in [*names, names[-1]])
    body = b"{" + members.encode() + b"}"
    nested = b'{"a":' * 5_000 + b"0" + b"}" * 5_000
    digits = b'{"a":' + b"1" * 60_000 + b"}"
    lists = b'{"a":[' + b"[]," * 20_000 + b"0]}"
    numbers = b'{"redirect_uris":[' + b"0," * 30_000 + b"0]}"
    form = "&".join(f"{name}=" for name in [*names, names[-1]]).encode()
    for value in (body, nested, digits, lists, numbers):
        for path in ("/api/v1/users", "/api/v1/session", "/api/v1/oauth/token", "/api/v1/oauth/register"):
            yield AUTH, http_request("POST", path, body=value)
        yield KEYS, http_request("POST", "/api/v1/keys/report-leak", body=value)
        yield KEYS, http_request("POST", "/api/v1/status", body=value)
    for path in ("token", "revoke", "par", "device_authorization"):
        yield AUTH, http_request("POST", f"/api/v1/oauth/{path}", body=form, media_type=FORM)
    yield AUTH, http_request("POST", "/api/v1/session", body=form, media_type=FORM)
    yield KEYS, http_request("POST", "/api/v1/oauth/introspect", body=form, media_type=FORM)
    for path in ("/oauth/decide", "/logout", f"/client-file-flow/{means.client_id}"):
        yield PAGES, http_request("POST", path, [("Origin", means.origin)], form, FORM)
    yield from _many_in_heads(names[:2_000])


def _many_in_heads(names: Sequence[str]) -> Iterator[Shot]:
    """The same in queries, cookies and headers."""
    query = "&".join(f"{name}=" for name in [*names, names[-1]])
    permissions = "&".join(f"permission={name}" for name in names[:800])
    cookies = "; ".join(f"{name}=0" for name in [*names, names[-1]])
    headers = [(f"X-{name}", "0") for name in names[:100]]
    yield PAGES, http_request("GET", f"/oauth/authorize?{query}")
    yield PAGES, http_request("GET", f"/device?{query}")
    yield KEYS, http_request("GET", f"/api/v1/verify?{permissions}", [("Authorization", "Bearer lku_a")])
    yield KEYS, http_request("GET", f"/api/v1/status?{query}")
    for service, path in ((AUTH, "/api/v1/session"), (PAGES, "/"), (KEYS, "/api/v1/verify")):
        yield service, http_request("GET", path, [("Cookie", cookies)] * 4)
        yield service, http_request("GET", path, headers)
        yield service, http_request("GET", path, [("Authorization", "Bearer " + "." * 8_000)])
        yield service, http_request("GET", path, [("X-Forwarded-For", "1," * 4_000)])


def slow_templates(means: Means) -> Iterator[Shot]:
    """A3: key files whose parsers take the square of their length, by an author's requests."""
    key = "%%API_KEY%%"
    most = 9_900
    templates = {
        "a.ini": [
            f"[a]\nk={key}\nz{' ' * most}y",
            f"[a]\nk={key}\n" + "z = \n " * 1_600,
            f"[a]\nk={key}\n" + "".join(f"n{number}=\n" for number in range(1_200)),
        ],
        "a.toml": [
            f"k='{key}'\n" + ".".join("a" * 4_900) + "=1",
            f"k='{key}'\n[" + ".".join("a" * 4_900) + "]",
            f"k='{key}'\nb=" + "[" * 4_900 + "]" * 4_900,
            f"k='{key}'\n" + "".join(f"a.b{number}=1\n" for number in range(900)),
        ],
        "a.json": ["[" * 4_900 + f'"{key}"' + "]" * 4_900, f'{{"k":"{key}","n":{"1" * most}}}'],
        "a.yaml": [
            f"k: {key}\nb: " + "[" * 4_900 + "]" * 4_900,
            f"k: {key}\n" + "? " * 4_900,
            f"k: {key}\n" + "- " * 4_900,
            f"k: {key}\nz{' ' * most}y",
        ],
    }
    path = f"/api/v1/clients/{means.client_id}"
    for filename, contents in templates.items():
        for content in contents:
            fields = {"apiKeyFilename": filename, "apiKeyFormat": content}
            yield AUTH, json_request("PATCH", path, fields, means.browser)
            new = {"name": "Hostile", "requestedPermissions": ["submit_score"], **fields}
            yield AUTH, json_request("POST", "/api/v1/clients", new, means.browser)


def filled_memory(means: Means) -> Iterator[Shot]:
    """A4: whatever makes Redis keep something for somebody who has not signed in, and sessions without end."""
    client = means.client_id
    for filler in ("A" * _LONG, "A" * (_LONG // 2), "A" * 300):
        for target in (
            f"/device?{filler}",
            f"/device?user_code={filler}",
            f"/oauth/request-auth?clientID={client}&state={filler}",
            f"/oauth/request-auth?clientID={client}&context={filler}",
            f"/oauth/authorize?response_type=code&client_id={client}&state={filler}",
            f"/client-file-flow/{client}?{filler}",
            f"/login?continue={filler}",
            f"/developer?{filler}",
        ):
            yield PAGES, http_request("GET", target)
    pushed = {"client_id": means.public_id, "response_type": "code", "redirect_uri": _CALLBACK}
    for state in ("A" * 60_000, "A" * 3_000, "A" * 500):
        yield AUTH, form_request("/api/v1/oauth/par", {**pushed, "state": state, **_challenge()})
    yield AUTH, form_request("/api/v1/oauth/device_authorization", {"client_id": means.public_id})
    yield AUTH, form_request("/api/v1/oauth/device_authorization", {"client_id": client})
    credentials = {"username": means.usernames[0], "password": means.password}
    yield AUTH, json_request("POST", "/api/v1/session", credentials)
    code = {"grant_type": "authorization_code", "code": "A" * 500, "client_id": client, "client_secret": "A"}
    yield AUTH, form_request("/api/v1/oauth/token", code)


def signed_in_memory(means: Means) -> Iterator[Shot]:
    """A4 once more, by somebody with an account: requests that wait for an answer, and codes that nobody redeems."""
    query = f"clientID={means.client_id}&state={'A' * 400}"
    yield PAGES, http_request("GET", f"/oauth/request-auth?{query}", means.browser)
    yield PAGES, http_request("GET", f"/client-file-flow/{means.client_id}", means.browser)
    code = {"clientID": means.client_id, "state": "A" * 400}
    yield AUTH, json_request("POST", "/api/v1/oauth/create-code", code, means.browser)


def right_passwords(means: Means) -> Iterator[Shot]:
    """A5: 48 accounts of one peer sign in, each with its right password."""
    for username in means.usernames:
        credentials = {"username": username, "password": means.password}
        yield AUTH, json_request("POST", "/api/v1/session", credentials)


def _challenge() -> Mapping[str, str]:
    return {"code_challenge": "A" * 43, "code_challenge_method": "S256"}


Attack = Callable[[Means], Iterator[Shot]]

ATTACKS: Final[Mapping[str, Attack]] = {
    "A1": slow_hosts,
    "A2": many_names,
    "A3": slow_templates,
    "A4": filled_memory,
    "A4-signed-in": signed_in_memory,
    "A5": right_passwords,
}

FEWEST_CONNECTIONS: Final = 16
"""To each service that an attack is for: no worker is ever without a request. More would be answered no sooner."""
CONNECTIONS: Final[Mapping[str, int]] = {"A5": 48}


def shots_of(attack: str, means: Means) -> Mapping[str, Sequence[bytes]]:
    """The requests of an attack by service."""
    found: dict[str, list[bytes]] = {}
    for service, request in ATTACKS[attack](means):
        found.setdefault(service, []).append(request)
    return found
