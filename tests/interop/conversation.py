"""The conversation with a client program: it says where the person is to go, the person goes, it tells its result."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from typing import Any, Final

from tests.harness.people import Person
from tests.harness.processes import REPOSITORY
from tests.interop.libraries import Command

SECONDS: Final = 60.0


async def play(
    command: Command, case: str, setting: Mapping[str, str | None], person: Person
) -> dict[str, Any]:
    """Plays a case with a client program; what it tells of it in the end."""
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    program = await asyncio.create_subprocess_exec(
        *command, case, cwd=REPOSITORY, env=environ, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            return await _converse(program, setting, person)
    finally:
        if program.returncode is None:
            program.kill()
        await program.communicate()


async def _converse(program: Process, setting: Mapping[str, str | None], person: Person) -> dict[str, Any]:
    await _tell(program, setting)
    while True:
        line = await _read(program)
        message: dict[str, Any] = json.loads(line)
        if "result" in message:
            result: dict[str, Any] = message["result"]
            return result
        await _tell(program, {"callback": await _go(message, str(setting["redirect_uri"]), person)})


async def _go(message: Mapping[str, Any], redirect_uri: str, person: Person) -> str:
    """Does what a person is asked to; the address at which they come out."""
    if "device" in message:
        await person.confirm_device(message["device"]["verification_uri_complete"])
        return ""
    if "decline" in message:
        return await person.decide(message["decline"], "Decline", redirect_uri)
    return await person.decide(message["open"], "Accept", redirect_uri)


async def _tell(program: Process, message: Mapping[str, object]) -> None:
    assert program.stdin is not None
    program.stdin.write(json.dumps(message).encode() + b"\n")
    await program.stdin.drain()


async def _read(program: Process) -> bytes:
    assert program.stdout is not None
    assert program.stderr is not None
    line = await program.stdout.readline()
    if not line:
        raise AssertionError(f"the client program ended: {(await program.stderr.read()).decode()[-3000:]}")
    return line
