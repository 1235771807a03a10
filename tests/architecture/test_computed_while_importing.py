"""What modules ask of their process while they are imported: next to nothing, and a fork asks it again."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.harness.processes import REPOSITORY
from tests.harness.warm import COMPUTED

PROGRAM = """
import json, os, ssl, sys, time
from tests.harness import warm

asked = {os.urandom, os.getpid, os.getcwd, os.isatty, os.uname, time.time, time.time_ns, time.monotonic}
read = {each.__code__ for each in (os._Environ.__getitem__, os._Environ.__iter__)}
trust = {each.__code__ for each in (ssl.create_default_context, ssl.SSLContext.load_default_certs)}
ours = ("deploy", "services", "shared", "latchkey_sdk")
askers = set()

def watch(frame, event, what):
    trusts = event == "call" and frame.f_code in trust
    if trusts or (event == "c_call" and what in asked) or (event == "call" and frame.f_code in read):
        while frame.f_code.co_filename.startswith("<frozen") or frame.f_globals["__name__"] in sys.stdlib_module_names:
            frame = frame.f_back
        name = frame.f_globals["__name__"]
        if trusts or name.split(".")[0] in ours:
            askers.add(name)

sys.setprofile(watch)
warm.import_latchkey()
sys.setprofile(None)
print(json.dumps(sorted(askers)))
"""


def test_forks_ask_again_for_what_modules_compute_while_imported() -> None:
    """The environment, the time, the process, chance, of our modules; whom to trust, of all."""
    asked = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM],
        cwd=REPOSITORY,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'sdk/python/src'}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(json.loads(asked.stdout)) == set(COMPUTED)
