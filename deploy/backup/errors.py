"""What can go wrong with a backup, said to an operator."""

from __future__ import annotations


class BackupError(Exception):
    """A backup cannot be taken, read or restored; the message says why. Nothing was changed."""
