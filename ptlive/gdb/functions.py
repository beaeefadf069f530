"""gdb's functions `$_pt_...`: what a translation says, for conditions and scripts.

An error in a condition stops the guest, so an address without a translation is none: each
function has a value for it. What is an error is that nothing can be said at all, such as when
gdb holds no guest, or paging is off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import gdb
import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.cli.options import LAST
from ptlive.errors import PtliveError
from ptlive.gdb.session import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.analysis.translation import Translation
    from ptlive.gdb.session import Session

_ROOT = """

ROOT is another root table, as a value of CR3; without it the selected thread's CR3 counts."""


class Told(NamedTuple):
    """One function: what it is called, what of a translation it returns, and its help.

    more: what its other argument is, if it has one, between the address and ROOT
    """

    name: str
    value: Callable[[Translation, gdb.Value | None], int]
    help: str
    more: str | None = None

    @property
    def usage(self) -> str:
        """How to call it."""
        return f"$_pt_{self.name} (VA{f', {self.more}' if self.more else ''}[, ROOT])"


def _right(name: str) -> Callable[[Translation, gdb.Value | None], int]:
    return lambda found, _: int(found.rights.get(name, False))


def _entry(found: Translation, level: gdb.Value | None) -> int:
    wanted = number(level) if level is not None else 0
    return next((step.entry for step in found.path if step.lvl == wanted), 0)


def _allows(found: Translation, _access: gdb.Value | None) -> int:
    return int(found.outcomes[0].allowed)


FUNCTIONS = (
    Told(
        "pa",
        lambda found, _: LAST if found.pa is None else found.pa,
        "Return the physical address that an address translates to.\n"
        "Without a translation it is 0xffffffffffffffff, which no physical address is.",
    ),
    Told(
        "present",
        lambda found, _: int(found.pa is not None),
        "Return 1 if an address has a translation, else 0.",
    ),
    Told(
        "writable",
        _right("write"),
        "Return 1 if all entries on an address's path allow writing, else 0.",
    ),
    Told(
        "user",
        _right("user"),
        "Return 1 if all entries on an address's path allow user mode, else 0.",
    ),
    Told(
        "executable",
        _right("execute"),
        "Return 1 if all entries on an address's path allow fetching, else 0.",
    ),
    Told(
        "allows",
        _allows,
        "Return 1 if an access would happen, 0 if it would fault.\n"
        f"ACCESS is a string: {', '.join(ACCESS_KINDS)}. Unlike $_pt_writable this\n"
        "knows of CR0.WP, SMEP, SMAP and protection keys.",
        "ACCESS",
    ),
    Told(
        "page_size",
        lambda found, _: 0 if found.page_bits is None else 1 << found.page_bits,
        "Return the size of the page that an address lies in, 0 without a translation.",
    ),
    Told(
        "level",
        lambda found, _: found.path[-1].lvl if found.path else 0,
        "Return the level at which an address's path ends: of the page's entry (1 for 4K),\n"
        "or of the one that is not present; 0 for an address that is not canonical.",
    ),
    Told(
        "entry",
        _entry,
        "Return the entry of a level (1 is the PTE) on an address's path; 0 if the path does\n"
        "not come there.",
        "LEVEL",
    ),
)


class _Function(gdb.Function):
    """One of them."""

    def __init__(self, told: Told, session: Session) -> None:
        self.__doc__ = f"{told.help}{_ROOT}\n\nUsage: {told.usage}"
        super().__init__(f"_pt_{told.name}")
        self._told, self._session = told, session

    def invoke(self, *values: gdb.Value) -> int:
        """Return its value. Raises gdb.GdbError if nothing can be said."""
        needed = 2 if self._told.more else 1
        if not needed <= len(values) <= needed + 1:
            raise gdb.GdbError(f"the usage is {self._told.usage}")
        more = values[1] if self._told.more else None
        root = values[needed] if len(values) > needed else None
        try:
            return self._told.value(self._translation(values[0], more, root), more)
        except (PtliveError, gdb.error) as error:
            raise gdb.GdbError(str(error)) from None
        except KeyboardInterrupt:  # of a function gdb prints it as an exception of Python's
            raise gdb.GdbError("Quit") from None
        finally:
            self._session.leave()

    def _translation(
        self, va: gdb.Value, more: gdb.Value | None, root: gdb.Value | None
    ) -> Translation:
        kinds = []
        if self._told.more == "ACCESS" and more is not None:
            name = more.string()
            if name not in ACCESS_KINDS:
                raise PtliveError(f"{name!r} is no access: {', '.join(ACCESS_KINDS)} are")
            kinds = [ACCESS_KINDS[name]]
        with self._session.space(None if root is None else number(root)) as space:
            address = np.array([number(va)], dtype=np.uint64)
            return space.describe(space.translate(address), 0, kinds)


def register(session: Session) -> None:
    """Make the functions known to gdb."""
    for one in FUNCTIONS:
        _Function(one, session)
