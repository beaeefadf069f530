"""What pytest calls: options, the marker, what is told with a failure, and `==` of regions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.pytest_plugin import settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from ptlive.pytest_plugin.booter import Booter

MARKER = "ptlive"
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
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Tell with a failure what the guests have written."""
    outcome = yield
    booter = item.config.stash.get(BOOTER, None)
    report = outcome.get_result()
    if booter and report.failed and "ptlive_boot" in getattr(item, "fixturenames", ()):
        report.sections.extend(booter.logs(item))
    if booter and report.when == "teardown":
        booter.next_test()


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain `==` of regions by what one has and the other has not."""
    if op != "==" or "ptlive.api.regions" not in sys.modules:
        return None
    from ptlive.pytest_plugin.regions import compared

    return compared(left, right)
