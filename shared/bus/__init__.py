"""The bus on Redis streams: owns the envelope, requests and replies, consumers, the outbox and its relay, and their repair."""

from shared.bus.bus import Bus, PreparedRequest, RemoteFailure
from shared.bus.connection import CoalescingRedis
from shared.bus.consumer import Consumer, Delivery, EventConsumer, Handler, handler
from shared.bus.janitor import Janitor
from shared.bus.outbox import OutboxRelay
from shared.bus.scripts import Script
from shared.bus.stream_tail import StreamTail
from shared.bus.supervisor import Backoff, Supervisor

__all__ = [
    "Backoff",
    "Bus",
    "CoalescingRedis",
    "Consumer",
    "Delivery",
    "EventConsumer",
    "Handler",
    "Janitor",
    "OutboxRelay",
    "PreparedRequest",
    "RemoteFailure",
    "Script",
    "StreamTail",
    "Supervisor",
    "handler",
]
