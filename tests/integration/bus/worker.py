"""A process on the bus that tests start and kill: a worker whose effects are idempotent, or a requester.

`python -m tests.integration.bus.worker URL work|batch|request IDLE_MS`. What it did is kept in Redis: how often each
message was begun (hash ``test:begun``), and its effect (set ``test:effects``).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import uvloop

from shared.bus import Bus, Consumer, Delivery, handler
from shared.clock import SystemClock
from tests.integration.bus.messages import Echo, EchoReply

BEGUN = "test:begun"
EFFECTS = "test:effects"
REQUESTS = 100


async def work(url: str, *, batch: bool, idle_ms: int) -> None:
    """Handles echoes until SIGTERM. ``boom…`` ends the process at once; ``slow…`` takes a second."""
    bus = Bus(url, source="key_issuer", clock=SystemClock())
    await bus.start()

    async def one(command: Echo, _delivery: Delivery) -> EchoReply:
        await bus.redis.execute("HINCRBY", BEGUN, command.text, 1)
        if command.text.startswith("boom"):
            os._exit(9)
        if command.text.startswith("slow"):
            await asyncio.sleep(1)
        await bus.redis.execute("SADD", EFFECTS, command.text)
        return EchoReply(text=command.text)

    async def many(commands: Sequence[Echo], deliveries: Sequence[Delivery]) -> list[EchoReply]:
        return [await one(*pair) for pair in zip(commands, deliveries, strict=True)]

    chosen = handler(Echo, many, batch=True) if batch else handler(Echo, one)
    consumer = Consumer(bus, Echo.queue, [chosen], claim_idle_ms=idle_ms)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.stop)
    await consumer.run()
    await bus.stop()


async def request(url: str) -> None:
    """Asks a hundred things at once and waits for the answers."""
    bus = Bus(url, source="auth_api", clock=SystemClock())
    await bus.start()
    await asyncio.gather(*(bus.request(Echo(text=f"slow{number}"), timeout=30) for number in range(REQUESTS)))


if __name__ == "__main__":
    address, role, idle = sys.argv[1:]
    uvloop.run(
        request(address) if role == "request" else work(address, batch=role == "batch", idle_ms=int(idle))
    )
