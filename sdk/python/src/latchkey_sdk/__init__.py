"""Checks the API keys that people made with Latchkey, inside a Python application, and forgets them when they are revoked.

``Guard`` checks keys; ``Key`` is what it knows of a good one; ``Refused`` is how it says no. The adapters for web
frameworks are the modules ``latchkey_sdk.asgi``, ``.fastapi``, ``.aiohttp`` and ``.django``.
"""

from __future__ import annotations

from latchkey_sdk._guard import Guard
from latchkey_sdk._key import Key
from latchkey_sdk._refused import Refused

__all__ = ["Guard", "Key", "Refused"]
