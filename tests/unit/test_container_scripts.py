"""The scripts that run inside of the stores' containers: what they do, and that no program is given a secret to show.

Each script is run for real with a PATH on which every program first writes down its arguments.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from deploy.cli.init import DEPLOY, SECRETS

SCRIPTS: Final = sorted(
    path.relative_to(DEPLOY) for path in (*DEPLOY.glob("redis/*.sh"), *DEPLOY.glob("postgres/*.sh"))
)
REAL: Final = ("sh", "cat", "cp", "sed", "cut", "sha256sum", "chmod", "tr", "head")
FAKE: Final[Mapping[str, str]] = {
    # Root until setpriv was called, as in a container.
    "id": '[ -e "$STATE/dropped" ] && echo 999 || echo 0',
    "setpriv": 'while [ "${1#-}" != "$1" ]; do case $1 in --re[ug]id) shift ;; esac; shift; done\n'
    '[ "$1" = true ] || touch "$STATE/dropped"\nexec "$@"',
    "true": "exit 0",
    "touch": ': >"$1"',
    "chown": "exit 0",
    "docker-entrypoint.sh": "exit 0",
    "redis-cli": 'printf "%s" "${REDISCLI_AUTH-}" >"$STATE/login"\n[ "$*" = "${*#*ping}" ] && cat >"$STATE/input" || echo PONG',
    "psql": 'for name in MIGRATE AUTH_API KEY_ISSUER; do eval "printf \'%s\\n\' \\"\\$${name}_PASSWORD\\""; done >"$STATE/input"',
}
NEW: Final = "new-password-0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a script: its exit code, what it printed, and one line of arguments for each program it ran."""

    returncode: int
    said: str
    arguments: list[str]
    secrets: Mapping[str, str]

    def password(self, secret: str) -> str:
        """The one in the URL of a secret's file."""
        return self.secrets[secret].split(":")[2].partition("@")[0]

    def passwords(self) -> set[str]:
        """All that are in the secrets' files, and the one that was typed."""
        urls = {name for name, value in self.secrets.items() if "://" in value}
        return {NEW, *map(self.password, urls), *(self.secrets[name] for name in self.secrets.keys() - urls)}


def _run(script: Path, folder: Path, *arguments: str, typed: str = "", **changed: str) -> Ran:
    """Runs a copy of the script whose absolute paths lead into `folder`; `changed` are other contents of secrets."""
    for name in ("bin", "state", "secrets", "run", "script"):
        (folder / name).mkdir()
    record, shell = folder / "arguments", shutil.which("sh")
    real = {name: f'exec {shutil.which(name)} "$@"' for name in REAL}
    for name, body in {**real, **FAKE}.items():
        program = folder / "bin" / name
        noting = f'{{ printf "%s " {name} "$@"; echo; }} >>{record}'
        program.write_text(f"#!{shell}\n{noting}\n{body}\n", encoding="utf-8")
        program.chmod(0o755)
    secrets = {name: make() for name, make in SECRETS.items()} | changed
    for name, value in secrets.items():
        (folder / "secrets" / name).write_text(value + "\n", encoding="utf-8")
    for file in (DEPLOY / script.parent).glob("*.*"):
        text = file.read_text(encoding="utf-8").replace("/run/secrets", str(folder / "secrets"))
        text = text.replace("/run/redis-latchkey", str(folder / "run"))
        (folder / "script" / file.name).write_text(text, encoding="utf-8")
    finished = subprocess.run(
        [str(shell), str(folder / "script" / script.name), *arguments],
        env={
            "PATH": str(folder / "bin"),
            "STATE": str(folder / "state"),
            "POSTGRES_USER": "x",
            "POSTGRES_DB": "y",
        },
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    return Ran(finished.returncode, finished.stdout + finished.stderr, lines, secrets)


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_no_program_is_given_a_secret(script: Path, tmp_path: Path) -> None:
    """Neither a password nor its digest is an argument, by which everybody on the machine could read it."""
    arguments = ("auth_api",) if script.name == "add-password.sh" else ()
    ran = _run(script, tmp_path, *arguments, typed=f"{NEW}\n")
    assert ran.returncode == 0, ran.said
    assert ran.arguments
    for password in ran.passwords():
        digest = sha256(password.encode()).hexdigest()
        assert not [line for line in ran.arguments if password in line or digest in line]


def test_redis_starts_with_the_passwords_of_the_urls_and_without_root(tmp_path: Path) -> None:
    """The users' file holds digests alone; the server is started after root was given up."""
    ran = _run(Path("redis/start.sh"), tmp_path)
    users = (tmp_path / "run" / "users.acl").read_text(encoding="utf-8")
    for name in ("auth_api", "consent_ui", "key_issuer", "operator"):
        password = ran.password(f"{name}_redis_url")
        assert f"user {name} on #{sha256(password.encode()).hexdigest()} " in users
        assert password not in users
    names = [line.split()[0] for line in ran.arguments]
    assert names.index("setpriv") < names.index("docker-entrypoint.sh")
    (dropping,) = [line for line in ran.arguments if line.startswith("setpriv") and "start.sh" in line]
    for option in (
        "--reuid redis",
        "--clear-groups",
        "--no-new-privs",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ):
        assert option in dropping


def test_a_redis_url_without_a_password_is_named(tmp_path: Path) -> None:
    """The server does not start: a user without a password would be everybody."""
    ran = _run(Path("redis/start.sh"), tmp_path, operator_redis_url="redis://operator@redis:6379/0")
    assert ran.returncode == 78
    assert "operator_redis_url" in ran.said
    assert not [line for line in ran.arguments if line.startswith("docker-entrypoint.sh")]


def test_a_new_password_of_redis_is_read_and_not_an_argument(tmp_path: Path) -> None:
    """It goes from stdin to `redis-cli`, which logs in with the operator's password from its environment."""
    ran = _run(Path("redis/add-password.sh"), tmp_path, "auth_api", typed=f"{NEW}\n")
    assert (tmp_path / "state" / "input").read_text(encoding="utf-8") == f">{NEW}"
    assert (tmp_path / "state" / "login").read_text(encoding="utf-8") == ran.password("operator_redis_url")


@pytest.mark.parametrize(("arguments", "typed"), [((), NEW), (("auth_api", NEW), ""), (("auth_api",), "\n")])
def test_a_password_in_the_wrong_place_changes_nothing(
    tmp_path: Path, arguments: tuple[str, ...], typed: str
) -> None:
    """As an argument, as it was given in former releases, or not at all: the usage is said."""
    ran = _run(Path("redis/add-password.sh"), tmp_path, *arguments, typed=typed)
    assert ran.returncode == 2
    assert "usage" in ran.said
    assert not [line for line in ran.arguments if line.startswith("redis-cli")]


def test_the_databases_roles_get_the_passwords_of_the_urls(tmp_path: Path) -> None:
    """In the environment of `psql`, where the script of the roles takes them from."""
    ran = _run(Path("postgres/10-roles.sh"), tmp_path)
    expected = [ran.password(f"{name}_database_url") for name in ("migrate", "auth_api", "key_issuer")]
    assert (tmp_path / "state" / "input").read_text(encoding="utf-8").split() == expected
