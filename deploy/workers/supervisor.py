"""The supervisor: starts the workers, replaces those that die or hang, and on SIGHUP all of them, one after the other."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from deploy.workers.listeners import open_listeners
from deploy.workers.process import Waits, WorkerProcess

READY_SECONDS: Final = 30.0
"""A replacement that is not ready by then is given up, and the old worker stays."""
KILL_SECONDS: Final = 32.0
"""After SIGTERM: longer than lingering and draining take."""
_TICK_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 1.0
"""How often it looks at workers with which all is well."""
_MOST_DEATHS: Final = 5
_DEATHS_SECONDS: Final = 60.0
_SIGNALS: Final = (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

_log = structlog.get_logger("latchkey.workers")


@dataclass(slots=True)
class _Slot:
    """One listening socket: who serves it, and who is to take over."""

    descriptor: int
    current: WorkerProcess | None = None
    replacement: WorkerProcess | None = None


@dataclass(slots=True)
class Supervisor:
    """One service's workers."""

    service: str
    host: str
    port: int
    count: int
    waits: Waits
    watchdog: float
    """Seconds after which a worker whose loop does not turn is killed and replaced; 0 for never."""
    _slots: list[_Slot] = field(default_factory=list)
    _leaving: list[WorkerProcess] = field(default_factory=list)
    _rolling: deque[_Slot] = field(default_factory=deque)
    _deaths: deque[float] = field(default_factory=deque)
    _looked: float = 0.0
    _ever_ready: bool = False
    _stopping: bool = False
    _failed: bool = False
    _folder: Path = Path()
    _pipe: int = -1

    def run(self) -> int:
        """Runs until SIGINT or SIGTERM; the exit code (0 stopped, 1 could not listen or workers keep dying)."""
        try:
            listeners = open_listeners(self.host, self.port, self.count)
        except OSError as error:
            _log.error(
                "cannot_listen", service=self.service, host=self.host, port=self.port, reason=str(error)
            )
            return 1
        self._folder = Path(tempfile.mkdtemp(prefix="latchkey-workers-"))
        self._listen_for_signals()
        self._slots = [_Slot(listener.fileno()) for listener in listeners]
        try:
            for slot in self._slots:
                slot.current = self._start(slot)
            while not self._stopping:
                self._wait()
            for listener in listeners:
                listener.close()  # refused is better than never answered
            self._stop_all()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        return 1 if self._failed else 0

    def _listen_for_signals(self) -> None:
        """Signals become bytes in a pipe; their handlers do nothing."""
        self._pipe, told = os.pipe()
        for descriptor in (self._pipe, told):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)

    def _received(self, patience: float) -> bytes:
        """The numbers of the signals that came, or came within ``patience`` seconds."""
        select.select([self._pipe], [], [], patience)
        with contextlib.suppress(BlockingIOError):
            return os.read(self._pipe, 4096)
        return b""

    def _start(self, slot: _Slot) -> WorkerProcess:
        number = self._slots.index(slot)
        return WorkerProcess(self.service, slot.descriptor, number, waits=self.waits, folder=self._folder)

    def _wait(self) -> None:
        """Waits for a signal or a tick, then brings everything forward."""
        busy = self._rolling or self._leaving or not self._ever_ready
        received = self._received(_TICK_SECONDS if busy else _LOOK_SECONDS)
        if signal.SIGINT in received or signal.SIGTERM in received:
            self._stopping = True
            return
        if signal.SIGHUP in received:
            _log.info("rolling_restart", service=self.service, workers=self.count)
            self._rolling.extend(slot for slot in self._slots if slot not in self._rolling)
        self._leaving = [worker for worker in self._leaving if not worker.ended(KILL_SECONDS)]
        self._ever_ready = self._ever_ready or any(
            slot.current and slot.current.ready for slot in self._slots
        )
        passed = self._awake_since_last_look()
        for slot in self._slots:
            self._watch(slot, passed)
            self._revive(slot)
        if self._rolling and not self._stopping:
            self._roll(self._rolling[0])

    def _awake_since_last_look(self) -> float:
        """The seconds in which workers could have told that they turn.

        Of a longer time than we meant to wait the rest does not count: then we ourselves stood still, most likely with
        everything around us (a paused container, a machine out of breath), and that is no worker's fault.
        """
        before, self._looked = self._looked, time.monotonic()
        return min(self._looked - before, _LOOK_SECONDS)

    def _watch(self, slot: _Slot, passed: float) -> None:
        """Kills a worker that hangs; as any that died it is replaced."""
        worker = slot.current
        if not self.watchdog or worker is None or worker.killed or not worker.hangs(passed, self.watchdog):
            return
        where = worker.kill()
        _log.error(
            "worker_hung", service=self.service, pid=worker.pid, silent_seconds=self.watchdog, where=where
        )

    def _revive(self, slot: _Slot) -> None:
        """Puts a new worker in the place of one that died."""
        if slot.current is None or not slot.current.ended():
            return
        now = time.monotonic()
        if not slot.current.killed:
            _log.error(
                "worker_died", service=self.service, pid=slot.current.pid, exit_code=slot.current.exit_code
            )
        self._deaths.append(now)
        while self._deaths and self._deaths[0] < now - _DEATHS_SECONDS:
            self._deaths.popleft()
        if not self._ever_ready or len(self._deaths) > _MOST_DEATHS * self.count:
            _log.error("workers_keep_dying", service=self.service)
            self._failed = self._stopping = True
            return
        slot.current = self._start(slot)

    def _roll(self, slot: _Slot) -> None:
        """One step of replacing a slot's worker: start the new one, wait for it, let the old one go."""
        if slot.replacement is None:
            slot.replacement = self._start(slot)
        elif slot.replacement.ready:
            if slot.current is not None:
                slot.current.terminate()
                self._leaving.append(slot.current)
            slot.current, slot.replacement = slot.replacement, None
            self._rolling.popleft()
            if not self._rolling:
                _log.info("rolling_restart_done", service=self.service)
        elif slot.replacement.ended() or slot.replacement.age > READY_SECONDS:
            _log.error(
                "rolling_restart_given_up",
                service=self.service,
                reason="the new worker died" if slot.replacement.ended() else "the new worker is not ready",
            )
            slot.replacement.terminate()
            self._leaving.append(slot.replacement)
            slot.replacement = None
            self._rolling.clear()

    def _stop_all(self) -> None:
        workers = [worker for slot in self._slots for worker in (slot.current, slot.replacement) if worker]
        for worker in workers:
            worker.terminate()
        workers += self._leaving
        while workers := [worker for worker in workers if not worker.ended(KILL_SECONDS)]:
            self._received(_TICK_SECONDS)
