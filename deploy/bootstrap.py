"""Makes the repository's environment `.venv` from a hash-pinned lock; run by `latchkey`, with the standard library alone.

usage: bootstrap.py latchkey|dev

What is installed is known by copies of the lock files in `.venv/latchkey/`, written last. A marker there while
an installation runs tells the next start that one was cut short, and that the environment is to be made anew.
"""

from __future__ import annotations

import os
import sys

try:
    import fcntl
    import importlib.util
    import shutil
    import signal
    import ssl  # noqa: F401  (packages come over TLS)
    import subprocess
    import zlib  # noqa: F401  (and compressed)
    from pathlib import Path
except ImportError as missing:
    sys.exit(
        f"latchkey: {sys.executable} is incomplete: {missing}.\n"
        "latchkey: Install a full Python 3.11 or newer (on Debian and Ubuntu: python3 and python3-venv),"
        " or name one with LATCHKEY_PYTHON."
    )

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STATE = VENV / "latchkey"
INSTALLING = STATE / "installing"
PYTHON = VENV / "bin" / "python"
INCLUDED = {"latchkey": ("latchkey",), "dev": ("dev", "latchkey")}


class BootstrapError(Exception):
    """The environment could not be made; the message says why and what helps."""


def say(line: str) -> None:
    """Tells how it goes, beside and never in the command's own output."""
    print(f"latchkey: {line}", file=sys.stderr, flush=True)  # noqa: T201  (there is no logging here yet)


def lock_file(name: str) -> Path:
    """The pinned requirements of that name."""
    return ROOT / "requirements" / f"{name}.lock"


def is_synced(name: str) -> bool:
    """Whether the environment was made, whole, from the lock as it is now."""
    stamp = STATE / f"{name}.lock"
    return (
        os.access(PYTHON, os.X_OK)
        and not INSTALLING.exists()
        and stamp.exists()
        and stamp.read_bytes() == lock_file(name).read_bytes()
    )


def run(*command: str | Path) -> bool:
    """Runs a program with its output on stderr; whether it ended well."""
    return subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode == 0  # noqa: S603


def install_with_uv(uv: str, lock: Path) -> bool:
    """The fast way. False when uv could not do it."""
    if not PYTHON.exists() and not run(
        uv, "venv", "--quiet", "--allow-existing", "--python", base_python(), VENV
    ):
        return False
    requirements = ("--require-hashes", "--requirement", lock)
    return run(uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", PYTHON, *requirements)


def install_with_pip(lock: Path) -> bool:
    """The way that needs Python alone: venv, and the pip that comes with either of them."""
    pip: tuple[str | Path, ...] = (PYTHON, "-m", "pip")
    if importlib.util.find_spec("ensurepip") is None:  # Debian packs it apart, in python3-venv
        if importlib.util.find_spec("pip") is None:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise BootstrapError(
                f"{sys.executable} has neither ensurepip nor pip, so it cannot make an environment.\n"
                f"On Debian and Ubuntu: apt install python{version}-venv. Or install uv."
            )
        pip = (sys.executable, "-m", "pip", "--python", PYTHON)
    if not PYTHON.exists() or (pip[0] == PYTHON and not run(PYTHON, "-c", "import pip")):
        without = ("--without-pip",) if pip[0] != PYTHON else ()
        if importlib.util.find_spec("venv") is None or not run(base_python(), "-m", "venv", *without, VENV):
            raise BootstrapError(f"{sys.executable} could not make an environment in {VENV}.")
    options = ("--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--require-hashes")
    return run(*pip, "install", *options, "--requirement", lock)


def base_python() -> str:
    """This Python by its real name, so that the environment notices when the system's Python is replaced."""
    base: str = getattr(sys, "_base_executable", None) or sys.executable
    return os.path.realpath(base)


def synchronise(name: str) -> None:
    """Brings the environment to the state of the lock of that name. Raises `BootstrapError`."""
    if INSTALLING.exists() or (VENV.exists() and not os.access(PYTHON, os.X_OK)):
        say("the environment in .venv is not whole; making it anew")
        shutil.rmtree(VENV)
    STATE.mkdir(parents=True, exist_ok=True)
    INSTALLING.touch()
    uv = shutil.which("uv")
    say(f"installing what requirements/{name}.lock names into .venv with {'uv' if uv else 'pip'} (once)")
    done = uv is not None and install_with_uv(uv, lock_file(name))
    if uv is not None and not done:
        say("uv could not do it; trying pip")
    if not done and not install_with_pip(lock_file(name)):
        raise BootstrapError(
            "the packages could not be installed; the lines above say why.\n"
            "Without a network: give pip a mirror or a folder of wheels (PIP_INDEX_URL, PIP_FIND_LINKS)."
        )
    for included in INCLUDED[name]:
        shutil.copyfile(lock_file(included), STATE / f"{included}.lock")
    INSTALLING.unlink()
    say("the environment is ready")


def main(name: str) -> int:
    """Synchronises under a lock that the kernel drops with the process; the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with (ROOT / ".venv.lock").open("w") as guard:
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another start is making the environment; waiting for it")
                fcntl.flock(guard, fcntl.LOCK_EX)
            if not is_synced(name):
                synchronise(name)
    except (BootstrapError, OSError) as error:
        for line in str(error).splitlines():
            say(line)
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
