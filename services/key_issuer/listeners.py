"""The resource servers that listen to the revocations at this process: who they are, and what each is sent.

Nothing is sent but right after an entry of the broadcast was heard. So an event is always news of Redis and of the relay,
never of this process alone, and whoever hears one may count three seconds from it.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from services.key_issuer.revocation_journal import Heard, RevocationJournal
from shared.telemetry.metrics import Metrics

MOST_LISTENERS: Final = 4_000
"""At one process; and never more than a quarter of the descriptors that it may open."""
MOST_OF_A_KEY: Final = 1_500
"""With one service key at one process."""
MOST_UNREAD: Final = 64 * 1024
"""Bytes that may wait for a listener when there is more to send: one that reads no faster is let go."""
LOOK_SECONDS: Final = 0.25
"""How often it looks whether this process is deaf, or stops."""
_REST: Final = 9
"""After a round of sending, how many times its processor time nothing is sent: it costs a tenth of a core at most."""
_LONGEST_REST: Final = 0.25

Why = Literal["gone", "slow", "deaf", "stopping", "refused"]
"""Why a stream ended: its listener went or did not read, this process cannot hear or stops, its service key is no more."""


class ListenerMetrics:
    """What is counted of listeners."""

    def __init__(self, metrics: Metrics) -> None:
        """Registers the families."""
        self.listeners = metrics.gauge("revocation_listeners", "Open streams of revocations.")
        self.events = metrics.counter(
            "revocation_events_total", "Events sent to listeners, each to each of them.", ("event",)
        )
        self.ended = metrics.counter(
            "revocation_streams_ended_total", "Streams of revocations that ended, by the reason.", ("reason",)
        )


class TooManyListenersError(Exception):
    """There is no place: ``of_key`` tells whether this service key has all that one may have."""

    def __init__(self, *, of_key: bool) -> None:
        """Is raised before anything is answered."""
        super().__init__("too many listeners")
        self.of_key = of_key


class Listener:
    """One open stream."""

    __slots__ = ("_chunked", "_transport", "ended", "is_stopping", "key_id", "place", "token")

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        token: str,
        key_id: str,
        place: str | None,
        *,
        chunked: bool,
        is_stopping: Callable[[], bool],
    ) -> None:
        """``place`` is where it was before; ``chunked`` says how the answer's body is cut (RFC 9112 §7.1)."""
        self._transport = transport
        self._chunked = chunked
        self.token = token
        """Its service key."""
        self.key_id = key_id
        self.place = place
        self.is_stopping = is_stopping
        """Whether the server that it is connected to stops."""
        self.ended: asyncio.Future[Why] = asyncio.get_running_loop().create_future()

    def send(self, events: _Events) -> bool:
        """Writes without waiting; ``False``, and it is over, where the listener is gone or does not read."""
        if self.ended.done():
            return False
        if self._transport.is_closing():
            self.end("gone")
            return False
        if self._transport.get_write_buffer_size() > MOST_UNREAD:
            self.end("slow")
            return False
        self._transport.write(events.chunk if self._chunked else events.plain)
        return True

    def end(self, why: Why) -> None:
        """Lets its handler return. What waits unread is given up, so that nobody waits for it."""
        if self.ended.done():
            return
        if not self._transport.is_closing() and self._transport.get_write_buffer_size() > MOST_UNREAD:
            self._transport.abort()
        self.ended.set_result(why)


class _Events:
    """Some events, encoded once for everybody."""

    __slots__ = ("chunk", "counts", "plain")

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self.chunk = b"%x\r\n%b\r\n" % (len(plain), plain)
        self.counts = Counter(
            {
                name: plain.count(b"event: %b\n" % name.encode())
                for name in ("invalidate", "reset", "heartbeat")
            }
        )


class Listeners:
    """Those of one process. All methods but ``watch`` return without waiting for anybody."""

    def __init__(self, metrics: Metrics, is_deaf: Callable[[], bool]) -> None:
        """``is_deaf`` tells whether revocations may have been missed."""
        self._counts = ListenerMetrics(metrics)
        self._counts.listeners.set_function(lambda: len(self))
        self._is_deaf = is_deaf
        self._journal = RevocationJournal()
        self._sent = 0
        """The number of the entry that those who follow are sent next."""
        self._following: set[Listener] = set()
        self._joining: set[Listener] = set()
        self._of_key: Counter[str] = Counter()
        self._flush: asyncio.Handle | None = None
        self._rest_until = 0.0
        self.keys_changed = asyncio.Event()
        """A service key of a listener was among those that were taken back."""

    def __len__(self) -> int:
        return len(self._following) + len(self._joining)

    def __iter__(self) -> Iterator[Listener]:
        return iter((*self._following, *self._joining))

    def check_room(self, key_id: str) -> None:
        """Raises ``TooManyListenersError`` where another listener with this service key has no place."""
        if self._of_key[key_id] >= MOST_OF_A_KEY:
            raise TooManyListenersError(of_key=True)
        if len(self) >= min(MOST_LISTENERS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4):
            raise TooManyListenersError(of_key=False)

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """It belongs to them until the end of the block; what it is sent first comes with the next entry."""
        self._joining.add(listener)
        self._of_key[listener.key_id] += 1
        try:
            yield
        finally:
            self._following.discard(listener)
            self._joining.discard(listener)
            self._of_key[listener.key_id] -= 1
            if not self._of_key[listener.key_id]:
                del self._of_key[listener.key_id]
            reason = listener.ended.result() if listener.ended.done() else "gone"
            self._counts.ended.labels(reason).inc()

    def hear(self, heard: Heard) -> None:
        """An entry was read just now: it goes out with what else is read in this turn of the loop, or after the rest."""
        self._journal.append(heard)
        if not self._of_key.keys().isdisjoint(heard.key_ids):
            self.keys_changed.set()
        if self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(max(0.0, self._rest_until - loop.time()), self._send)

    def miss(self, past: Iterable[Heard]) -> None:
        """Entries may have been missed; ``past`` is what the broadcast holds.

        Listeners get what they missed, or are told to forget everything, with the next entry.
        """
        if self._journal.follow(tuple(past)):
            return
        self._restart()
        if self._flush is not None:  # for an entry that may be there no more
            self._flush.cancel()
            self._flush = None

    def end_all(self, why: Why) -> None:
        """Ends every stream."""
        for listener in self:
            listener.end(why)

    async def watch(self) -> None:
        """Ends streams while this process is deaf, and those of a server that stops; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._is_deaf():
                self.end_all("deaf")
            for listener in self:
                if listener.is_stopping():
                    listener.end("stopping")

    def _restart(self) -> None:
        """Nobody's place counts any more."""
        for listener in self._following:
            listener.place = None
        self._joining |= self._following
        self._following.clear()

    def _send(self) -> None:
        """One encoding for all who follow, and one for those who join at the same place."""
        self._flush = None
        began = time.thread_time()
        if self._sent < self._journal.begin:
            self._restart()
        if self._following:
            self._write(self._following, self._journal.events_since(self._sent))
        self._sent = self._journal.end
        groups: dict[int | None, set[Listener]] = {}
        for listener in self._joining:
            groups.setdefault(self._journal.after(listener.place), set()).add(listener)
        self._joining.clear()
        for number, group in groups.items():
            self._write(
                group, self._journal.reset() if number is None else self._journal.events_since(number)
            )
            self._following |= group
        asyncio.get_running_loop().call_soon(self._rest, began)  # by then the loop has written

    def _rest(self, began: float) -> None:
        spent = time.thread_time() - began
        self._rest_until = asyncio.get_running_loop().time() + min(_LONGEST_REST, _REST * spent)

    def _write(self, group: Iterable[Listener], plain: bytes) -> None:
        events = _Events(plain)
        reached = sum(listener.send(events) for listener in group)
        for name, count in events.counts.items():
            if count:
                self._counts.events.labels(name).inc(count * reached)
