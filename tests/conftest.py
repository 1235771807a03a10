"""The fixtures of the suite, and its rule about skipping."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import hypothesis
import pytest
import structlog

from services.auth_api.accounts import passwords
from shared.telemetry.logs import configure_logging
from tests.harness import compliance
from tests.harness.backends import new_folder, run_folder
from tests.harness.distribution import ByFile, check_names, long_first
from tests.harness.site import Site
from tests.harness.stack import Stack, running_stack
from tests.harness.stores import Servers, Stores, forget_run, fresh_stores, servers_of_run

RUN_FOLDER: Final = "LATCHKEY_TEST_RUN_FOLDER"
NO_SKIPS: Final = "LATCHKEY_TEST_NO_SKIPS"
"""Set by CI: a test that would be skipped fails."""
NOT_SERVED: Final = ("mvn -q -B failed", "go install github.com/zricethezav/gitleaks")
"""What a registry need not serve: a whole Keycloak, 200 MB, where the other provider has to do, and the program gitleaks,
whose rules other tests read too."""

# httpcore looks for it several times in each request of httpx, and a library that is not there is looked for in each folder
# anew: a sixth of what such tests compute. Nothing here runs on another loop than asyncio's.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

StackStarter = Callable[..., AbstractAsyncContextManager[Stack]]

_controller: Final = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the harness."""
    compliance.pytest_addoption(parser)
    parser.addoption("--chaos-seconds", default="12", help="how long the nemesis rages")
    parser.addoption("--fuzz-examples", default="10", help="how many requests the fuzzer makes of each kind")
    parser.addoption("--chaos-seed", default=None, help="repeat the run with this seed")


def pytest_configure(config: pytest.Config) -> None:
    """The controller makes the run's folder, which its workers inherit."""
    # A busy machine is no fault of an example.
    hypothesis.settings.register_profile("suite", deadline=None)
    hypothesis.settings.load_profile("suite")
    compliance.pytest_configure(config)
    if not hasattr(config, "workerinput"):
        os.environ[RUN_FOLDER] = str(_controller.enter_context(run_folder()))


def pytest_unconfigure(config: pytest.Config) -> None:
    """The controller ends the run's servers."""
    if not hasattr(config, "workerinput"):
        _controller.close()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: looking through it for garbage, meanwhile and later, is a third of a collection's work."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the long ones, and notes the clauses that the tests prove."""
    check_names(items)
    long_first(items)
    compliance.pytest_collection_modifyitems(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    """How several processes share the tests."""
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where skipping is forbidden, a skipped test has failed."""
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself."""
    report = yield
    _forbid_skip(report)
    return report


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(NO_SKIPS):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        if any(command in str(reason) for command in NOT_SERVED):
            return
        report.outcome = "failed"
        report.longrepr = f"skipping is forbidden here: {reason}"


class _CurrentStderr:
    """Today's stderr: pytest gives each test another one."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@pytest.fixture(scope="session", autouse=True)
def _logs() -> None:
    """Shows the logs of a failed test with it."""
    configure_logging(level="debug", log_format="json", service="tests")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(_CurrentStderr()))  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _quick_passwords(request: pytest.FixtureRequest) -> Iterator[None]:
    """Services in the test's process hash passwords at next to no cost, except where that is what a module is about."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("costly_passwords") is None:
            patch.setattr(passwords, "_MEMORY_KIB", 64)
            patch.setattr(passwords, "_PASSES", 1)
        yield


@pytest.fixture(scope="session")
async def servers(run_directory: Path) -> AsyncIterator[Servers]:
    """PostgreSQL and Valkey for the whole run, shared by its workers."""
    servers = servers_of_run(run_directory)
    yield servers
    if os.environ.get("LATCHKEY_TEST_DATABASE_URL"):
        await forget_run(servers)


@pytest.fixture
async def stores(servers: Servers) -> AsyncIterator[Stores]:
    """A migrated, empty database and an empty key space of the test's own."""
    async with fresh_stores(servers) as stores:
        yield stores


@pytest.fixture(scope="module")
async def stack(servers: Servers) -> AsyncIterator[Stack]:
    """The three services on one port, for the tests of a module together; each makes its own people."""
    async with running_stack(servers) as stack:
        yield stack


@pytest.fixture
async def site(stack: Stack) -> Site:
    """The module's services, as people and programs see them."""
    return stack.site


@pytest.fixture
def start_stack(servers: Servers) -> StackStarter:
    """For services of the test's own: called with variables like `{"SIGN_UP": "closed"}`, for `async with`."""
    return partial(running_stack, servers)


@pytest.fixture(scope="session")
def run_directory() -> Path:
    """The run's own folder. Unlike pytest's, the account of the embedded servers can reach what is in it."""
    return Path(os.environ[RUN_FOLDER])


@pytest.fixture
def folder(run_directory: Path) -> Path:
    """A new folder of the test's own, where `up` and `backends` may keep their data."""
    return new_folder(run_directory)
