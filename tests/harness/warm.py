"""A Python that has imported Latchkey and becomes `latchkey …` in a fork of itself, as often as it is asked.

``python -P -m tests.harness.warm DESCRIPTOR``: started and asked by ``tests.harness.forks`` over that socket. A request is
the arguments, the environment and the folder, in JSON, and with it four descriptors: standard input, output and error of the
program, and a pipe that is told its process id and, when it has ended, how. It ends when nobody can ask any more.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Final

from tests.harness.forks import MOST_BYTES, NUMBER

COMMANDS: Final = (
    "serve",
    "up",
    "backends",
    "env",
    "migrate",
    "users",
    "clients",
    "keys",
    "service-key",
    "bus",
)
LATER: Final = (
    "deploy.all_in_one",
    "deploy.backup.errors",
    "services.auth_api.app",
    "services.consent_ui.app",
    "services.key_issuer.app",
    "shared.web.server",
)
"""What those commands import only when they run."""
COMPUTED: Final = {
    "aiohttp.connector": "_SSL_CONTEXT_VERIFIED",
    "shared.failpoints": "ARMED",
    "shared.telemetry.correlation": "new_request_id",
}
"""What a module computes when it is imported and no two processes share. A test finds all of them."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a fork is to become."""

    arguments: list[str]
    environ: dict[str, str]
    folder: str
    streams: list[int]


def import_latchkey() -> None:
    """Imports whatever the commands use; nothing of it may start a thread or open a file."""
    table = import_module("deploy.cli.__main__").COMMANDS
    for module in (*(table[name][0].partition(":")[0] for name in COMMANDS), *LATER):
        import_module(module)
    del sys.modules["deploy.cli.__main__"]  # every fork runs it
    gc.collect()
    gc.freeze()


def serve(control: socket.socket) -> Request | None:
    """Forks on request; returns in each fork, with what was asked for, and here when there is nobody left to ask."""
    running: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in running:
                poll.unregister(descriptor)
                _bury(descriptor, *running.pop(descriptor))
                continue
            message, descriptors, *_ = socket.recv_fds(control, MOST_BYTES, 4)
            if not message:
                return None
            *streams, told = descriptors
            process = os.fork()
            if process == 0:
                return Request(**json.loads(message), streams=streams)
            _tell(told, process)
            for stream in streams:
                os.close(stream)
            ended = os.pidfd_open(process)
            running[ended] = process, told
            poll.register(ended, select.POLLIN)


def _bury(ended: int, process: int, told: int) -> None:
    _tell(told, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
    os.close(told)
    os.close(ended)


def _tell(told: int, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody wants to know any more
        os.write(told, NUMBER.pack(number))


def become(request: Request) -> None:
    """Runs `latchkey …` in this process, with nothing left of the one that it was forked from. Ends by SystemExit."""
    for place, stream in enumerate(request.streams):
        os.dup2(stream, place)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environ)
    for module, name in COMPUTED.items():
        _compute_again(module, name)
    sys.argv[1:] = request.arguments
    runpy.run_module("deploy.cli", run_name="__main__", alter_sys=True)


def _compute_again(module: str, name: str) -> None:
    """Gives a name of a module the value that it has in this process, wherever it has been imported."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.loader is not None
    again = module_from_spec(spec)
    spec.loader.exec_module(again)
    for each in tuple(sys.modules.values()):
        if name in vars(each):
            setattr(each, name, getattr(again, name))


if __name__ == "__main__":
    heeded = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's is for the programs
    import_latchkey()
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        to_become = serve(asked)
    signal.signal(signal.SIGINT, heeded)
    if to_become is not None:
        become(to_become)
