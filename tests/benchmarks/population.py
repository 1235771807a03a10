"""Who takes part in a measurement: people, their clients, and codes and keys made beforehand through the REST API."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.benchmarks.rig import Rig
from tests.harness.processes import command

REDIRECT_URI: Final = "http://127.0.0.1:9/callback"
PERMISSION: Final = "customise_score"
MAKING_CONNECTIONS: Final = 16


@dataclass(frozen=True, slots=True)
class Person:
    """An account, signed in."""

    user_id: int
    cookie: str


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client."""

    client_id: str
    client_secret: str


@dataclass(frozen=True, slots=True)
class Population:
    """People and clients; a code is of one of each, and each pair may hold ten keys."""

    rig: Rig
    people: tuple[Person, ...]
    clients: tuple[Client, ...]

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return len(self.people) * len(self.clients)

    def token_requests(self, number: int, *, one_pair: bool = False) -> list[bytes]:
        """That many exchanges, each with a fresh code: of many pairs, or all of one, whose oldest keys then go."""
        pairs = [(person, client) for client in self.clients for person in self.people]
        chosen = pairs[:1] if one_pair else random.Random(number).sample(pairs, len(pairs))
        origin = self.rig.services.public_url
        asked = [
            _request(
                "POST",
                "/api/v1/oauth/create-code",
                json.dumps({"clientID": client.client_id, "state": client.client_id}).encode(),
                f"Content-Type: application/json\r\nOrigin: {origin}\r\nCookie: {person.cookie}\r\n",
            )
            for person, client in (chosen[index % len(chosen)] for index in range(number))
        ]
        secrets = {client.client_id: client.client_secret for client in self.clients}
        answers = map(json.loads, self.rig.collect("auth-api", asked, MAKING_CONNECTIONS))
        return [_token_request(answer, secrets) for answer in answers]

    def keys(self, number: int) -> list[str]:
        """That many live keys, each delivered."""
        answers = self.rig.collect("auth-api", self.token_requests(number), MAKING_CONNECTIONS)
        return [json.loads(answer)["access_token"] for answer in answers]


def make_population(rig: Rig, *, people: int, clients: int) -> Population:
    """Signs people up and registers clients; the first person is the author of all."""
    signed_up = tuple(_sign_up(rig, f"person-{number}") for number in range(people))
    registered = tuple(_register(rig, signed_up[0], f"Client {number}") for number in range(clients))
    return Population(rig, signed_up, registered)


def service_key(rig: Rig) -> str:
    """A key with which a resource server may introspect."""
    made = command(
        "service-key",
        "create",
        "--name",
        "benchmark",
        "--permission",
        "introspect",
        environ=rig.services.environ,
    )
    return made.strip()


def verify_request(key: str) -> bytes:
    """A check as a reverse proxy makes it."""
    return _request("GET", f"/api/v1/verify?permission={PERMISSION}", b"", f"Authorization: Bearer {key}\r\n")


def introspect_request(key: str, caller: str) -> bytes:
    """An introspection by a resource server (RFC 7662)."""
    return _form("/api/v1/oauth/introspect", {"token": key}, f"Authorization: Bearer {caller}\r\n")


def bare_request() -> bytes:
    """An exchange as the bare handler gets it: a form of the same size."""
    fields = _fields("x" * 43, Client("x" * 70, "x" * 73))
    return _form("/token", fields, "")


def _token_request(answer: dict[str, Any], secrets: dict[str, str]) -> bytes:
    client_id = parse_qs(urlsplit(answer["redirectTo"]).query)["state"][0]
    return _form("/api/v1/oauth/token", _fields(answer["code"], Client(client_id, secrets[client_id])), "")


def _fields(code: str, client: Client) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "client_id": client.client_id,
        "client_secret": client.client_secret,
    }


def _form(path: str, fields: dict[str, str], headers: str) -> bytes:
    kind = "Content-Type: application/x-www-form-urlencoded\r\n"
    return _request("POST", path, urlencode(fields).encode(), kind + headers)


def _request(method: str, path: str, body: bytes, headers: str) -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}{length}\r\n".encode() + body


def _sign_up(rig: Rig, username: str) -> Person:
    answer, cookie = _call(
        rig, "/api/v1/users", {"username": username, "password": f"{username}-password"}, ""
    )
    return Person(answer["userID"], cookie)


def _register(rig: Rig, author: Person, name: str) -> Client:
    body = {"name": name, "redirectUri": REDIRECT_URI, "requestedPermissions": [PERMISSION]}
    answer, _ = _call(rig, "/api/v1/clients", body, author.cookie)
    return Client(answer["clientID"], answer["clientSecret"])


def _call(rig: Rig, path: str, body: dict[str, Any], cookie: str) -> tuple[dict[str, Any], str]:
    connection = HTTPConnection("127.0.0.1", rig.port("auth-api"), timeout=10)
    headers = {"Content-Type": "application/json", "Origin": rig.services.public_url, "Cookie": cookie}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 201:
        raise AssertionError(f"{path} answered {answer.status}: {text.decode()}")
    return json.loads(text), (answer.headers["Set-Cookie"] or "").partition(";")[0]
