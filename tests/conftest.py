"""What all tests share: guests that boot once, and when a test may be left out."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from typing import TYPE_CHECKING

import pytest

from ptlive.guests import recipe
from ptlive.target import launch
from ptlive.target.machine import QEMU, Machine
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.target.running import Guest

GUEST_FIXTURES = {"menu_guest_5", "menu_guest_4", "linux_guest"}
_LEFT_OUT = pytest.StashKey[int]()


def pytest_configure() -> None:
    # Under nohup, or as a shell's background job, these come ignored, to us and to all
    # that we start; the tests that interrupt things need them as they are on a terminal.
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run the tests marked long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        boots = GUEST_FIXTURES & set(getattr(item, "fixturenames", ()))
        if boots and not item.get_closest_marker("qemu"):
            raise pytest.UsageError(f"{item.nodeid} boots a guest: mark it @pytest.mark.qemu")
    if config.getoption("--all"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    config.stash[_LEFT_OUT] = len(long)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    # Under xdist only the workers collect; each tells the controller what it left out.
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash.get(_LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    config: pytest.Config = node.config  # type: ignore[attr-defined]  # xdist has no types
    config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left_out = config.stash.get(_LEFT_OUT, 0)
    if left_out:
        terminalreporter.write_line(f"{left_out} long tests left out: scripts/test --all runs them")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("qemu") and not shutil.which(QEMU):
        if os.environ.get("CI"):
            pytest.fail(f"{QEMU} is missing, and in CI nothing that matters is skipped")
        pytest.skip(f"{QEMU} is missing: scripts/setup installs it")


@pytest.fixture(scope="session", autouse=True)
def _own_state() -> Iterator[None]:
    """Keep the tests' guests apart from those that the user runs, and from other workers'."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.fixture(scope="session")
def menu_guest_5() -> Iterator[Guest]:
    """The menu guest with five levels, stopped; tests leave it as they find it."""
    yield from _menu(5)


@pytest.fixture(scope="session")
def menu_guest_4() -> Iterator[Guest]:
    """The menu guest with four levels, stopped; tests leave it as they find it."""
    yield from _menu(4)


def _menu(levels: int) -> Iterator[Guest]:
    with launch.temporary(recipe("menu"), Machine(levels=levels)) as guest:
        # It parks in a loop, and would keep a core busy between the tests that need it.
        with Qmp(guest.qmp) as qmp:
            qmp.command("stop")
        yield guest


@pytest.fixture(scope="session")
def linux_guest() -> Iterator[Guest]:
    """Linux with five levels, running, at its prompt; tests leave it as they find it."""
    with launch.temporary(recipe("linux")) as guest:
        yield guest
