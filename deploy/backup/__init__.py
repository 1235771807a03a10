"""Backups of the database: owns their file, the consistent copy that goes into it, and the way back into an empty database.

They need no program of PostgreSQL's, so that they are the same for an embedded server, a container and one of yours.
"""

from __future__ import annotations

from deploy.backup.errors import BackupError
from deploy.backup.rehearsal import rehearse
from deploy.backup.restoring import restore
from deploy.backup.taking import take

__all__ = ["BackupError", "rehearse", "restore", "take"]
