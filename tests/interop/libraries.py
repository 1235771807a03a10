"""The libraries of the suite: which cases each can play, and how its client program is made and started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.harness.kept import KEPT

CLIENTS: Final = Path(__file__).resolve().parent / "clients"
BUILT: Final = KEPT / "interop"
"""In a folder named for the sources."""
BUILD_SECONDS: Final = 600

CODE: Final = ("code_basic", "code_post", "public_pkce", "wrong_secret", "replay", "decline")
ALL: Final = (*CODE, "revoke", "introspect", "par", "device")

Command = Sequence[str]


class CannotBuildError(Exception):
    """The language or its packages are not to be had here; the message says which."""


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
        _need("node", "npm")
        install = (
            "npm",
            "install",
            "--omit=dev",
            "--no-package-lock",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
        )
        return ("node", str(_made("node", [install]) / program))

    return build


def _go() -> Command:
    _need("go")
    return (str(_made("go", [("go", "build", "-o", "interop", ".")]) / "interop"),)


def _rust() -> Command:
    _need("cargo")
    return (str(_made("rust", [("cargo", "build", "--quiet")]) / "target" / "debug" / "latchkey-interop"),)


def _java() -> Command:
    _need("mvn", "javac", "java")
    resolve = ("mvn", "-q", "-B", "-ntp", "dependency:build-classpath", "-Dmdep.outputFile=classpath")
    compiled = ("sh", "-c", 'javac -nowarn -d classes -cp "$(cat classpath)" src/main/java/Interop.java')
    folder = _made("java", [resolve, compiled])
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


def _need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise CannotBuildError(f"not installed here: {', '.join(missing)}")


def _made(language: str, steps: Sequence[Command]) -> Path:
    """The folder with a copy of the language's sources in which all steps went well, made now if there is none."""
    sources = sorted(path for path in (CLIENTS / language).rglob("*") if path.is_file())
    named = (str(path.relative_to(CLIENTS)).encode() + path.read_bytes() for path in sources)
    digest = sha256(b"".join(named)).hexdigest()
    folder = BUILT / f"{language}-{digest[:12]}"
    if folder.exists():
        return folder
    draft = BUILT / f"{language}-{digest[:12]}.{os.getpid()}"
    shutil.copytree(CLIENTS / language, draft)
    for step in steps:
        try:
            _run(step, draft)
        except CannotBuildError:
            _run(step, draft)  # a registry may be out of breath once
    try:
        draft.rename(folder)
    except OSError:  # another run was faster
        shutil.rmtree(draft)
    return folder


def _run(step: Command, folder: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    finished = subprocess.run(
        step, cwd=folder, env=environ, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if finished.returncode:
        shown = (finished.stdout + finished.stderr)[-2000:]
        raise CannotBuildError(f"{' '.join(step[:3])} failed: {shown}")
