"""The libraries of the suite: which cases each can play, and how its client program is made and started."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.interop.building import Command, made, need

CLIENTS: Final = Path(__file__).resolve().parent / "clients"

NPM_INSTALL: Final = (
    "npm",
    "install",
    "--omit=dev",
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
    "--ignore-scripts",
)

CODE: Final = ("code_basic", "code_post", "public_pkce", "wrong_secret", "replay", "decline")
ALL: Final = (*CODE, "revoke", "introspect", "par", "device")


@dataclass(frozen=True, slots=True)
class Library:
    """An OAuth client library as it is published, and what it can do by itself or with its language's HTTP client."""

    name: str
    language: str
    cases: tuple[str, ...]
    build: Callable[[], Command]
    """Makes the client program, or finds it made; the command that starts it."""


def _python(module: str) -> Callable[[], Command]:
    return lambda: (sys.executable, "-m", f"tests.interop.clients.python.{module}")


def _node(program: str) -> Callable[[], Command]:
    def build() -> Command:
        need("node", "npm")
        return ("node", str(made(CLIENTS / "node", [NPM_INSTALL]) / program))

    return build


def _go() -> Command:
    need("go")
    return (str(made(CLIENTS / "go", [("go", "build", "-o", "interop", ".")]) / "interop"),)


def _rust() -> Command:
    need("cargo")
    return (
        str(
            made(CLIENTS / "rust", [("cargo", "build", "--quiet")]) / "target" / "debug" / "latchkey-interop"
        ),
    )


def _java() -> Command:
    need("mvn", "javac", "java")
    resolve = ("mvn", "-q", "-B", "-ntp", "dependency:build-classpath", "-Dmdep.outputFile=classpath")
    compiled = ("sh", "-c", 'javac -nowarn -d classes -cp "$(cat classpath)" src/main/java/Interop.java')
    folder = made(CLIENTS / "java", [resolve, compiled])
    classpath = (folder / "classpath").read_text(encoding="utf-8").strip()
    # A program of a second gains nothing from the second compiler and from threads that collect garbage.
    brief = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
    return ("java", *brief, "-cp", f"{folder / 'classes'}{os.pathsep}{classpath}", "Interop")


LIBRARIES: Final = (
    Library("Authlib", "Python", tuple(case for case in ALL if case != "decline"), _python("with_authlib")),
    Library(
        "requests-oauthlib",
        "Python",
        (*CODE, "public_pkce_basic", "revoke", "introspect", "device"),
        _python("with_requests_oauthlib"),
    ),
    Library(
        "httpx-oauth",
        "Python",
        tuple(case for case in (*CODE, "revoke") if case != "decline"),
        _python("with_httpx_oauth"),
    ),
    Library("oauth4webapi", "Node", ALL, _node("oauth4webapi.mjs")),
    Library("openid-client", "Node", ALL, _node("openid-client.mjs")),
    Library(
        "simple-oauth2",
        "Node",
        tuple(case for case in (*CODE, "revoke") if case != "public_pkce"),
        _node("simple-oauth2.mjs"),
    ),
    Library(
        "passport-oauth2",
        "Node",
        ("code_post", "public_pkce", "wrong_secret", "decline"),
        _node("passport-oauth2.mjs"),
    ),
    Library("@badgateway/oauth2-client", "Node", (*CODE, "revoke", "introspect"), _node("badgateway.mjs")),
    Library(
        "golang.org/x/oauth2",
        "Go",
        (*CODE, "code_auto", "public_pkce_basic", "revoke", "introspect", "device"),
        _go,
    ),
    Library("oauth2", "Rust", (*CODE, "introspect", "device"), _rust),
    Library("Nimbus OAuth 2.0 SDK", "Java", ALL, _java),
)
