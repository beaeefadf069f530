"""The fixtures: ptlive_boot, ptlive_guest, ptlive_space."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.errors import PtliveError
from ptlive.pytest_plugin.booter import Booter, failure
from ptlive.pytest_plugin.hooks import BOOTER, MARKER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive import AddressSpace
    from ptlive.pytest_plugin.guest import BootedGuest


@pytest.fixture(scope="session")
def ptlive_boot(request: pytest.FixtureRequest) -> Iterator[Booter]:
    """Return what boots guests: call it with `kernel=` and what else there is to say."""
    stash = request.config.stash
    if BOOTER in stash:  # a module that imports the fixture has one of its own
        yield stash[BOOTER]
        return
    booter = stash[BOOTER] = Booter(request.config)
    try:
        yield booter
    finally:
        del stash[BOOTER]
        booter.end(failed=bool(request.session.testsfailed))


@pytest.fixture
def ptlive_guest(request: pytest.FixtureRequest, ptlive_boot: Booter) -> BootedGuest:
    """Return the guest that the ini file, the command line and the marker `ptlive` tell of."""
    __tracebackhide__ = True
    how: dict[str, Any] = {}
    # The nearest marker comes first, and has the last word.
    for marker in reversed(list(request.node.iter_markers(MARKER))):
        if marker.args:
            raise failure(PtliveError("the marker takes names: @pytest.mark.ptlive(kernel=...)"))
        how |= marker.kwargs
    return ptlive_boot(**how)


@pytest.fixture
def ptlive_space(ptlive_guest: BootedGuest) -> Iterator[AddressSpace]:
    """Hold `ptlive_guest`, stopped, for the test; return the address space of its first vCPU."""
    __tracebackhide__ = True
    with ExitStack() as stack:
        try:
            space = stack.enter_context(ptlive_guest.attach()).space()
        except PtliveError as error:
            raise failure(error) from None
        yield space
