"""Which tests of the whole suite stay together when several processes share it, and which are begun first."""

from __future__ import annotations

from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

_TOGETHER: Final = ("tests/interop/test_keycloak.py", "tests/interop/", "tests/browser/", "tests/chaos/")
"""Folders that are taken whole: their tests share what takes long to start, or are too few to go alone.

Keycloak, which is fetched, built and started for minutes, goes beside its folder."""
_ONE_LATCHKEY: Final = frozenset(
    f"tests/acceptance/test_{name}.py" for name in ("demo", "integrating", "json_integrator", "readme")
)
"""Files whose tests share one `./latchkey up`, which each process would start anew."""
_ONE_OF_WORKERS: Final = frozenset(f"tests/acceptance/test_{name}.py" for name in ("hung_workers", "workers"))
"""The same for services with two workers each."""
_COMPUTING: Final = (
    "tests/interop/test_keycloak.py",
    "tests/browser/",
    "tests/interop/",
    "tests/chaos/",
    "tests/acceptance/test_hung_workers.py",
    "tests/acceptance/test_workers.py",
    "tests/fuzz/",
    "tests/acceptance/test_demo.py",
    "tests/sdk/node/test_package.py",
    "tests/sdk/python/test_package.py",
    "tests/integration/key_issuer/test_unheard_revocations.py",
    "tests/integration/test_what_is_kept.py",
    "tests/integration/test_backup.py",
    "tests/sdk/python/test_from_readme.py",
    "tests/acceptance/test_demo_own_login.py",
    "tests/integration/test_embedded.py",
    "tests/integration/test_up.py",
    "tests/integration/bus/test_processes.py",
    "tests/integration/auth_api/test_webhook_keeping.py",
    "tests/integration/test_executable.py",
)
"""What takes most of a processor for more than seven seconds, as measured, the longest first."""
_WAITING: Final = (
    "tests/integration/bus/test_sentinels.py",
    "tests/sdk/python/test_stream.py",
    "tests/integration/key_issuer/test_revocation_stream_faults.py",
    "tests/integration/test_wire_of_services.py",
    "tests/integration/key_issuer/test_revocation_stream.py",
    "tests/integration/test_wire.py",
    "tests/integration/oauth/test_lost_answers.py",
    "tests/integration/auth_api/test_webhook_crashes.py",
    "tests/sdk/python/test_bound.py",
    "tests/integration/oauth/test_outages.py",
    "tests/integration/key_issuer/test_listeners.py",
    "tests/integration/test_room_in_redis.py",
    "tests/integration/key_issuer/test_outages.py",
    "tests/integration/auth_api/test_outages.py",
    "tests/integration/key_issuer/test_crashes.py",
    "tests/integration/bus/test_stream_tail.py",
    "tests/integration/test_redis_sentinels.py",
    "tests/integration/consent_ui/test_edges.py",
    "tests/integration/auth_api/test_webhook_abuse.py",
    "tests/integration/test_what_redis_holds.py",
    "tests/integration/bus/test_cluster.py",
    "tests/acceptance/test_webhooks_at_home.py",
    "tests/sdk/python/test_guard.py",
    "tests/integration/auth_api/test_webhook_addresses.py",
    "tests/integration/bus/test_recovery.py",
    "tests/integration/bus/test_failing_commands.py",
)
"""What takes more than seven seconds too, and waits for most of them: a time-out, an outage, a retry."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """Each process takes a whole file at a time, since its tests share services; some folders are taken whole.

    In the order of collection, which `long_first` has made. Every second process begins with what waits, so that at any
    time some of them leave the processors to the others.
    """

    def __init__(self, config: Any, log: Any = None) -> None:
        """Made by ``pytest_xdist_make_scheduler``."""
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file in _ONE_LATCHKEY:
            return "./latchkey up"
        if file in _ONE_OF_WORKERS:
            return "./latchkey serve"
        return next((folder for folder in _TOGETHER if file.startswith(folder)), file)

    def _assign_work_unit(self, node: Any) -> None:
        waits_first = int(node.gateway.id.removeprefix("gw")) % 2 == 1
        waiting = next((scope for scope in _WAITING if scope in self.workqueue), None)
        if waits_first and waiting is not None:
            self.workqueue.move_to_end(waiting, last=False)
        super()._assign_work_unit(node)


def check_names(items: list[pytest.Item]) -> None:
    """Processes agree by name who runs which test.

    Raises:
        pytest.UsageError: a name holds an object's address, which is another one in each process.
    """
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"each process names this test differently: {item.nodeid}")


def long_first(items: list[pytest.Item]) -> None:
    """The long ones come first, those that wait last: no process computes alone at the end."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    """``_COMPUTING`` in its order, all that is named nowhere, ``_WAITING`` in its order."""
    for first, paths in ((0, _COMPUTING), (len(_COMPUTING) + 1, _WAITING)):
        for rank, path in enumerate(paths, first):
            if nodeid.startswith(path):
                return rank
    return len(_COMPUTING)
