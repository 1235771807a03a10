"""What listeners are sent when the broadcast is emptied between an entry and the moment in which it goes out."""

from __future__ import annotations

import asyncio

from services.key_issuer.listeners import Listener, Listeners
from services.key_issuer.revocation_journal import Heard
from shared.telemetry.metrics import Metrics


class Written(asyncio.WriteTransport):
    """A connection that is always read at once."""

    def __init__(self) -> None:
        """Nothing was written yet."""
        super().__init__()
        self.text = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keeps it."""
        self.text += bytes(data)

    def is_closing(self) -> bool:
        """Never."""
        return False

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0


async def test_one_who_joins_is_served_after_the_broadcast_was_emptied() -> None:
    """It is told to forget everything with the next entry; nothing goes out before that one was heard."""
    listeners, transport = Listeners(Metrics("tests"), lambda: False), Written()
    joining = Listener(transport, "token", "key", None, chunked=False, is_stopping=lambda: False)
    with listeners.listening(joining):
        listeners.hear(Heard("one", ("a",)))
        listeners.miss([])
        await asyncio.sleep(0.01)
        before = transport.text

        listeners.hear(Heard("two", ()))
        await asyncio.sleep(0.3)

    assert before == b""
    assert b"event: reset" in transport.text
