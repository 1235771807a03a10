"""The conversation with a client program: it is told a case, says where the person is to go, tells its result."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from typing import Any, Final

from tests.harness.people import Person
from tests.harness.processes import REPOSITORY
from tests.interop.building import Command

SECONDS: Final = 60.0


class Players:
    """Client programs, each kept for the next case of its library: most take longer to start than to play one."""

    def __init__(self) -> None:
        """None has been started yet."""
        self._programs: dict[Command, Process] = {}

    async def play(
        self, command: Command, case: str, setting: Mapping[str, str | None], person: Person
    ) -> dict[str, Any]:
        """Plays a case with a client program; what it tells of it in the end. One that fails is not asked again."""
        program = self._programs.pop(command, None) or await _started(command)
        try:
            async with asyncio.timeout(SECONDS):
                result = await _converse(program, case, setting, person)
        except BaseException:
            await _ended(program)
            raise
        self._programs[command] = program
        return result

    async def close(self) -> None:
        """Ends them all."""
        for program in self._programs.values():
            await _ended(program)


async def _started(command: Command) -> Process:
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return await asyncio.create_subprocess_exec(
        *command, cwd=REPOSITORY, env=environ, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )


async def _ended(program: Process) -> None:
    if program.returncode is None:
        program.kill()
    await program.communicate()


async def _converse(
    program: Process, case: str, setting: Mapping[str, str | None], person: Person
) -> dict[str, Any]:
    await _tell(program, {"case": case, **setting})
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
