"""The message of these tests."""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.messages import Command, Message, MessageType


class EchoReply(Message):
    """What an echo says."""

    text: str


class Echo(Command[EchoReply]):
    """Says the same again."""

    type: ClassVar[str] = "echo.say"
    queue: ClassVar[str] = "key_issuer"
    replies: ClassVar[MessageType] = EchoReply

    text: str
