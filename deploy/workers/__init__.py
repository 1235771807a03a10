"""Several processes of one service behind one port, and replacing them one by one without losing a request."""

from __future__ import annotations

from deploy.workers.process import Waits
from deploy.workers.supervisor import Supervisor

__all__ = ["Supervisor", "Waits"]
