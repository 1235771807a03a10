"""What can go wrong with the embedded servers; each message is for the person at the terminal."""

from __future__ import annotations


class EmbeddedError(Exception):
    """The embedded servers cannot run; the message says why and what helps."""


class DataDirectoryInUse(EmbeddedError):  # noqa: N818 - named for what is true
    """Another process runs its servers in this data directory."""
