r"""The file of a backup: gzip around lines, written and read in one go, so that it may come from or go to a pipe.

1. a JSON object: the format, when it was taken, each schema's migrations, and the tables in the order of their contents;
2. each table's rows as PostgreSQL's COPY writes them as text, one a line, and after them a line ``\.``;
3. a JSON object: each table's rows counted and summed up, and the numbers that its sequences have reached.

A file without the third part was cut short.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from typing import IO, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.backup.errors import BackupError

FORMAT: Final = "latchkey-backup-1"
END_OF_ROWS: Final = b"\\.\n"
_BLOCK: Final = 256 * 1024
_LONGEST_LINE: Final = 64 * 1024 * 1024


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


PartT = TypeVar("PartT", bound=_Part)


class Step(_Part):
    """A migration that was applied."""

    number: int
    name: str
    checksum: str


class Table(_Part):
    """A table and its columns in the order of the rows' fields."""

    schema_name: str
    name: str
    columns: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """``schema.table``."""
        return f"{self.schema_name}.{self.name}"


class Sum(_Part):
    """How many rows, and the sum of their SHA-256, in hexadecimal: equal for equal rows in whatever order."""

    rows: int
    digest: str


class Head(_Part):
    """What comes first."""

    format: str = FORMAT
    latchkey: str
    taken_on: int
    """Unix milliseconds."""
    migrations: dict[str, tuple[Step, ...]]
    """By schema."""
    tables: tuple[Table, ...]


class Foot(_Part):
    """What comes last."""

    sums: dict[str, Sum]
    sequences: dict[str, int | None]
    """``schema.sequence`` → the last number it gave; ``None`` where it gave none yet."""


class RowSum:
    """Counts and sums up the rows of one table, however they are cut into pieces."""

    def __init__(self) -> None:
        """Of no rows yet."""
        self._rows = 0
        self._sum = 0
        self._rest = b""

    def add(self, piece: bytes) -> None:
        """Some more of the rows' text."""
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        self._rows += len(lines)
        self._sum += sum(int.from_bytes(hashlib.sha256(line).digest()) for line in lines)

    def result(self) -> Sum:
        """The sum of all rows so far."""
        return Sum(rows=self._rows, digest=f"{self._sum % 2**256:064x}")


class Writer:
    """Writes a backup to a stream that need not be seekable."""

    def __init__(self, stream: IO[bytes], head: Head) -> None:
        """Begins with the head; the tables follow in its order."""
        # No time in it: the same rows give the same bytes.
        self._file = gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=6, mtime=0)
        self._line(head)

    def rows(self, piece: bytes) -> None:
        """Some of a table's rows."""
        self._file.write(piece)

    def end_table(self) -> None:
        """All rows of a table are written."""
        self._file.write(END_OF_ROWS)

    def end(self, foot: Foot) -> None:
        """The backup is whole."""
        self._line(foot)
        self._file.close()

    def _line(self, part: _Part) -> None:
        self._file.write(part.model_dump_json().encode() + b"\n")


class Reader:
    """Reads a backup once, from its beginning to its end.

    Every method raises ``BackupError`` for a file that is none, is damaged or was cut short.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        """Reads the head."""
        self._file = gzip.GzipFile(fileobj=stream, mode="rb")
        self.head = self._part(Head)
        if self.head.format != FORMAT:
            raise BackupError(
                f"a backup of the format {self.head.format[:40]!r}, which this release cannot read"
            )

    def rows(self) -> Iterator[bytes]:
        """The rows of the next table, in pieces of whole lines."""
        piece: list[bytes] = []
        size = 0
        while (line := self._next()) != END_OF_ROWS:
            piece.append(line)
            size += len(line)
            if size >= _BLOCK:
                yield b"".join(piece)
                piece, size = [], 0
        yield b"".join(piece)

    def foot(self) -> Foot:
        """What comes after the last table, and nothing behind it."""
        foot = self._part(Foot)
        try:
            if self._file.read(1):
                raise BackupError("there is something behind the end of the backup")
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(error) from error
        return foot

    def _next(self) -> bytes:
        try:
            line = self._file.readline(_LONGEST_LINE)
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(error) from error
        if not line.endswith(b"\n"):
            raise BackupError("the backup was cut short")
        return line

    def _part(self, kind: type[PartT]) -> PartT:
        try:
            return kind.model_validate_json(self._next())
        except ValidationError as error:
            raise _damaged(error) from error


def _damaged(error: Exception) -> BackupError:
    return BackupError(f"this is no backup, or it is damaged ({type(error).__name__})")
