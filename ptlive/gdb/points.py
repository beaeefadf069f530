"""Hardware watchpoints on entries of page tables: gdb's own, at linear addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gdb

from ptlive.gdb.link import GdbLink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from ptlive.target.attach import Target

_IN_HARDWARE = (
    *(gdb.BP_HARDWARE_BREAKPOINT, gdb.BP_HARDWARE_WATCHPOINT),
    *(gdb.BP_READ_WATCHPOINT, gdb.BP_ACCESS_WATCHPOINT),
)
# gdb shows a pointer in hexadecimal, and it is as large as most entries.
_POINTER_SIZE = 8


class Point(gdb.Breakpoint):
    """A watchpoint that gdb shows as `*$variable`, and that stays where the variable points.

    gdb evaluates the expression again whenever it lets the guest run (breakpoint.c,
    insert_breakpoints), so it can be moved, and keeps its number and its commands.
    wanted: asked at a hit whether the guest is to stop
    """

    def __init__(self, variable: str, address: int, size: int, wanted: Callable[[], bool]) -> None:
        self.variable, self.address, self._size, self._wanted = variable, address, size, wanted
        self._parked = False
        self._point()
        super().__init__(f"*${variable}", type=gdb.BP_WATCHPOINT, wp_class=gdb.WP_WRITE)

    def stop(self) -> bool:
        """Tell gdb whether to stop."""
        return self._wanted()

    @property
    def is_hardware(self) -> bool:
        """Whether it is one: gdb falls back on executing the guest step by step."""
        return self.type == gdb.BP_HARDWARE_WATCHPOINT

    def move(self, address: int) -> None:
        """Watch another address from now on, and what is there now."""
        self.address = address
        self._point()
        if self._parked:
            self._parked, self.enabled = False, True
        else:
            self.refresh()

    def refresh(self) -> None:
        """Take what is there now for what gdb compares with: it stops for another value only.

        breakpoint.c, update_watchpoint: the old value is forgotten where it is enabled.
        """
        if self.enabled:
            self.enabled = False
            self.enabled = True

    def park(self) -> None:
        """Watch nothing until it is moved."""
        if self.enabled:
            self.enabled, self._parked = False, True

    def _point(self) -> None:
        if self._size == _POINTER_SIZE:
            kind = gdb.lookup_type("void").pointer()
        else:
            kind = gdb.selected_inferior().architecture().integer_type(8 * self._size, False)
        pointer = gdb.Value(self.address).cast(kind.pointer())
        gdb.set_convenience_variable(self.variable, pointer)


_made: list[Point] = []
_make: Callable[[], Point] | None = None


def make(
    variable: str, address: int, size: int, wanted: Callable[[], bool], *, quietly: bool
) -> Point | None:
    """Return a new watchpoint; None if gdb would not use hardware for it.

    What gdb has to say of it is left out: there are many, and they are told together. Only a
    command can be kept from printing. quietly: without any, see `at_stop.commands_wait`
    """
    global _make

    def make_it() -> Point:
        return Point(variable, address, size, wanted)

    if quietly:
        point = make_it()
    else:
        _make = make_it
        gdb.execute(f"python __import__('sys').modules[{__name__!r}].make_one()", to_string=True)
        point = _made.pop()
    if point.is_hardware:
        return point
    point.delete()
    return None


def make_one() -> None:
    """Make the watchpoint that `make` wants, inside of a command."""
    assert _make is not None
    _made.append(_make())


def room(target: Target, places: Sequence[int], spared: Sequence[Point] = ()) -> int:
    """Return for how many hardware watchpoints, of those wanted at places, there is room.

    spared: those that will be moved there, or parked

    TCG has a list of them without an end (softmmu/physmem.c, cpu_watchpoint_insert). Under
    KVM they are the debug registers, and gdb cannot let the guest run while it cannot insert
    one of its own: so it is tried, with as many as there are to be.
    """
    if target.accelerator == "TCG" or not places:
        return len(places)
    others = [one for one in gdb.breakpoints() if one.enabled and one.type in _IN_HARDWARE]
    count = len([one for one in others if one not in spared])
    page = places[0] & ~0xFFF
    tries = [b"2,%x,8" % (page + 8 * n) for n in range(len(places) + count)]
    link = _link()
    done: list[bytes] = []
    with link.calm():
        try:
            for one in tries:
                if link.send(b"Z" + one) != b"OK":
                    break
                done.append(one)
        finally:
            for one in done:
                link.send(b"z" + one)
    return max(len(done) - count, 0)


def calm() -> AbstractContextManager[None]:
    """Hold Ctrl-C back during a `with` block, so that no watchpoint is made and forgotten."""
    return _link().calm()


def _link() -> GdbLink:
    connection = gdb.selected_inferior().connection
    assert isinstance(connection, gdb.RemoteTargetConnection)
    return GdbLink(connection, None)
