"""What the use cases of auth_api stand on, made once by the composition root and passed to each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.auth_api.accounts.passwords import PasswordHasher
    from services.auth_api.activity_log import AttemptRecorder
    from services.auth_api.clients.cache import ClientDirectory
    from services.auth_api.codes.store import CodeStore
    from services.auth_api.token.release import CodeReleaser
    from shared.bus import Bus
    from shared.bus.outbox import OutboxRelay
    from shared.clock import Clock
    from shared.database import Database
    from shared.permissions import Catalogue
    from shared.settings import Settings
    from shared.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Resources:
    """Settings, clock, stores and the few objects that hold state of this process."""

    settings: Settings
    clock: Clock
    database: Database
    """Schema ``auth``."""
    bus: Bus
    """Commands and replies; ``bus.redis`` is the service's Redis."""
    catalogue: Catalogue
    """The permissions of the site, in the order of its file."""
    metrics: Metrics
    passwords: PasswordHasher
    clients: ClientDirectory
    outbox: OutboxRelay
    """``outbox.kick()`` after a commit that wrote an event."""
    codes: CodeStore
    releaser: CodeReleaser
    """Gives codes back whose exchange ended in 503."""
    attempts: AttemptRecorder
    """The flight recorder of the clients."""
