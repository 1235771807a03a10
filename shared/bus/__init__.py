"""The bus on Redis streams: owns requests and replies, consumers, the outbox and its relay, and their repair.

The relay is imported from its module: it alone brings PostgreSQL along, which not every service has.
"""

from shared.bus.bus import Bus
from shared.bus.consumer import Consumer, EventConsumer
from shared.bus.handlers import Delivery, MessageHandler, handler
from shared.bus.janitor import Janitor
from shared.bus.requests import PreparedRequest, RemoteFailure
from shared.bus.stream_tail import BroadcastEntry, StreamTail
from shared.contracts.messages import MessageTooLarge
from shared.redis.client import CoalescingRedis
from shared.redis.errors import CommandError
from shared.redis.script import Script
from shared.supervisor import Backoff, Supervisor

__all__ = [
    "Backoff",
    "BroadcastEntry",
    "Bus",
    "CoalescingRedis",
    "CommandError",
    "Consumer",
    "Delivery",
    "EventConsumer",
    "Janitor",
    "MessageHandler",
    "MessageTooLarge",
    "PreparedRequest",
    "RemoteFailure",
    "Script",
    "StreamTail",
    "Supervisor",
    "handler",
]
