"""What pytest calls: options, the marker, what is told with a failure, and `==` of regions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.errors import PtliveError
from ptlive.pytest_plugin import settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from ptlive.pytest_plugin.booter import Booter

MARKER = "ptlive"
_PACKAGE = Path(__file__).parents[1]
BOOTER: pytest.StashKey[Booter] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what can be said in the ini file and on the command line."""
    settings.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, for those who have --strict-markers."""
    config.addinivalue_line(
        "markers", f"{MARKER}(kernel=..., ready=..., ...): what the fixture ptlive_guest boots"
    )


# The old kind of wrapper: pytest 7 knows no other, and must not stumble over a plugin it loads.
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, None]:
    """Tell with a failure what the guests have written, and of our errors only the user's part."""
    error = call.excinfo
    if error and error.errisinstance(PtliveError) and not item.config.getoption("fulltrace"):
        _end_at_the_call(error.value)
    outcome = yield
    booter = item.config.stash.get(BOOTER, None)
    report = outcome.get_result()
    if booter and report.failed and "ptlive_boot" in getattr(item, "fixturenames", ()):
        report.sections.extend(booter.logs(item))
    if booter and report.when == "teardown":
        booter.next_test()


def _end_at_the_call(error: BaseException) -> None:
    """Let a traceback end where the user has called us: the sentence says what is wrong."""
    last, entry = None, error.__traceback__
    while entry is not None:
        if _PACKAGE not in Path(entry.tb_frame.f_code.co_filename).parents:
            last = entry
        entry = entry.tb_next
    if last is not None:
        last.tb_next = None


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain `==` of regions by what one has and the other has not."""
    if op != "==" or "ptlive.api.regions" not in sys.modules:
        return None
    from ptlive.pytest_plugin.regions import compared

    return compared(left, right)
