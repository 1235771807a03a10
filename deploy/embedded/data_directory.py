"""A data directory: who runs in it now, and what it remembers: ports, passwords, secrets, where its servers live."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from deploy.embedded.errors import DataDirectoryInUse, EmbeddedError
from deploy.embedded.ports import LASTING, free_port, is_free

_FORMAT: Final = 1
# `latchkey demo` may have kept its credentials here before the first start.
_DEMO_FILE: Final = "demo.json"


@dataclass(frozen=True, slots=True)
class Memory:
    """What a data directory keeps between runs, in `latchkey.json`, readable by its owner alone."""

    postgres_port: int
    postgres_password: str
    superuser_password: str
    valkey_port: int
    valkey_password: str
    secret: str
    key_pepper: str
    servers: str
    """The directory with the servers' own files; outside the data directory if they could not get at it there."""
    format: int = _FORMAT

    @property
    def database_url(self) -> str:
        """Of the role that owns Latchkey's database."""
        return f"postgresql://latchkey:{self.postgres_password}@127.0.0.1:{self.postgres_port}/latchkey"

    @property
    def superuser_url(self) -> str:
        """Of the server's superuser; no service knows it."""
        return f"postgresql://postgres:{self.superuser_password}@127.0.0.1:{self.postgres_port}/postgres"

    @property
    def redis_url(self) -> str:
        """Of Valkey, with its password."""
        return f"redis://:{self.valkey_password}@127.0.0.1:{self.valkey_port}/0"

    def environment(self) -> dict[str, str]:
        """The variables that a service needs to run on these servers."""
        return {
            "LATCHKEY_DATABASE_URL": self.database_url,
            "LATCHKEY_REDIS_URL": self.redis_url,
            "LATCHKEY_SECRET": self.secret,
            "LATCHKEY_KEY_PEPPER": self.key_pepper,
        }


class DataDirectory:
    """One data directory on the disk. Nothing is made before `claim`."""

    def __init__(self, path: Path) -> None:
        """`path` need not exist."""
        self.path = path.absolute()
        self._memory_file = self.path / "latchkey.json"
        self._lock_file = self.path / "lock"
        self._address_file = self.path / "address"

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Makes the directory and holds it for this process; the kernel lets go when the process ends, however.

        Raises:
            DataDirectoryInUse: another process holds it.
            EmbeddedError: it cannot be made, or holds files that are not ours.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            foreign = {entry.name for entry in self.path.iterdir()} - {self._lock_file.name, _DEMO_FILE}
            if foreign and not self._memory_file.exists():
                raise EmbeddedError(f"{self.path} is neither empty nor a data directory of Latchkey's.")
            descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EmbeddedError(f"cannot use the data directory {self.path}: {error.strerror}") from error
        with os.fdopen(descriptor, "r+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = lock.read().strip()
                raise DataDirectoryInUse(
                    f"{self.path} is in use by process {holder}. Stop that one, or choose another --data-dir."
                ) from None
            lock.seek(0)
            lock.truncate()
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            self._address_file.unlink(missing_ok=True)
            try:
                yield
            finally:
                self._address_file.unlink(missing_ok=True)

    def is_claimed(self) -> bool:
        """Whether a process holds it now."""
        try:
            descriptor = os.open(self._lock_file, os.O_RDWR)
        except OSError:
            return False
        with os.fdopen(descriptor) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def recall(self) -> Memory | None:
        """What it remembers; `None` if it was never used.

        Raises:
            EmbeddedError: the file cannot be read, or a later version wrote it.
        """
        try:
            kept: dict[str, Any] = json.loads(self._memory_file.read_bytes())
            if kept.get("format") == _FORMAT:
                return Memory(**kept)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise EmbeddedError(f"cannot read {self._memory_file}: {error}") from error
        raise EmbeddedError(f"{self._memory_file} was written by another version of Latchkey.")

    def keep(self, memory: Memory) -> None:
        """Replaces what it remembers, whole or not at all."""
        draft = self._memory_file.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(memory), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._memory_file)

    def announce(self, public_url: str) -> None:
        """Notes the address of a running `up`, until the claim ends."""
        self._address_file.write_text(public_url, encoding="ascii")

    def announced(self) -> str | None:
        """The address of the `up` that runs here now, if one does."""
        if not self.is_claimed() or not self._address_file.exists():
            return None
        return self._address_file.read_text(encoding="ascii")


def new_memory(servers: Path) -> Memory:
    """Fresh ports, passwords and secrets."""
    postgres_port = free_port(LASTING)
    return Memory(
        postgres_port=postgres_port,
        postgres_password=secrets.token_hex(24),
        superuser_password=secrets.token_hex(24),
        valkey_port=free_port(LASTING, other_than=postgres_port),
        valkey_password=secrets.token_hex(24),
        secret=secrets.token_urlsafe(36),
        key_pepper=secrets.token_urlsafe(36),
        servers=str(servers),
    )


def with_free_ports(memory: Memory) -> Memory:
    """The same memory; with another port where a stranger has taken one since."""
    if not is_free(memory.postgres_port):
        memory = replace(memory, postgres_port=free_port(LASTING, other_than=memory.valkey_port))
    if not is_free(memory.valkey_port):
        memory = replace(memory, valkey_port=free_port(LASTING, other_than=memory.postgres_port))
    return memory
