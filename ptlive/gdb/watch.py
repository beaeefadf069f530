"""`ptlive watch` inside gdb: the guest stops when an entry on an address's path changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import gdb

from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE
from ptlive.cli.options import NUMBER, ROOT
from ptlive.cli.profile import ProfileOptions, profile_of
from ptlive.cli.tell import tell
from ptlive.errors import PtliveError
from ptlive.gdb.at_stop import options
from ptlive.gdb.watched import Watched
from ptlive.show.json import print_json
from ptlive.show.terminal import print_lines, stdout

if TYPE_CHECKING:
    from ptlive.analysis.path_change import PathChange
    from ptlive.target.attach import Target

# Each is compared at each stop, and has a watchpoint or two for each level.
MOST_WATCHED = 64
# What scripts and conditions find of the change that was told last; void where none was.
_VARIABLES = ("va", "level", "entry", "old", "new")
# A watch sees the stores of instructions (softmmu/physmem.c, cpu_check_watchpoint).
_BESIDE = (
    "all entries are compared at each stop, too: A and D bits that the MMU sets, and what "
    "devices write, stop nothing"
)


class Watches:
    """All addresses that are watched; a hook of `at_stop`."""

    name = "watch"

    def __init__(self) -> None:
        self.all: list[Watched] = []
        self._last = 0

    @property
    def active(self) -> bool:
        """See `Hook.active`."""
        return bool(self.all)

    def next_number(self) -> int:
        """Return the number of a new one: none is given twice."""
        self._last += 1
        return self._last

    def forget_deleted(self) -> None:
        """Forget those whose watchpoints the user has deleted, or whose guest is another."""
        for one in [one for one in self.all if one.over]:
            one.delete()
            self.all.remove(one)

    def at_stop(self, event: gdb.StopEvent, target: Target) -> None:
        """See `Hook.at_stop`."""
        self.forget_deleted()
        _publish(None, None)
        for one in self.all:
            change = one.at_stop(event, target)
            if change is not None:
                _publish(one, change)

    def delete(self, which: str) -> None:
        """Delete the one of a number, or all. Raises PtliveError if there is none."""
        chosen = [one for one in self.all if which in (str(one.number), "all")]
        if not chosen and which != "all":
            numbers = ", ".join(str(one.number) for one in self.all) or "none"
            raise PtliveError(f"there is no watch {which}; there are: {numbers}")
        for one in chosen:
            one.delete()
            self.all.remove(one)


WATCHES = Watches()


def _publish(one: Watched | None, change: PathChange | None) -> None:
    """Set what conditions and scripts ask: $_pt_watch, $_pt_watch_va, ..."""
    gdb.set_convenience_variable("_pt_watch", one.number if one else 0)
    values: tuple[int | None, ...] = (None,) * len(_VARIABLES)
    if one is not None and change is not None and change.entries:
        entry = change.entries[-1]
        new = entry.after
        values = (one.va, new.lvl, new.entry_pa, entry.before.entry, new.entry)
    for name, value in zip(_VARIABLES, values, strict=True):
        gdb.set_convenience_variable(f"_pt_watch_{name}", value)


@click.command("watch", cls=Command)
@click.argument("addresses", metavar="[VA]...", nargs=-1)
@click.option("--root", type=ROOT, help="An address, cr3, vcpu:N or #N of roots. [default: cr3]")
@click.option("--no-ad", is_flag=True, help="Not for changes of nothing but A and D bits.")
@click.option("--delete", "deleted", multiple=True, metavar="N|all", help="Watch it no more.")
@click.option("--json", "as_json", is_flag=True, help="Print what is watched as one JSON object.")
def watch(
    addresses: tuple[str, ...],
    root: str | None,
    no_ad: bool,
    deleted: tuple[str, ...],
    as_json: bool,
) -> int:
    """Stop the guest when an entry on the path of an address changes; without one, list.

    Each entry of the path, from the root table to the page, has hardware watchpoints of gdb
    at all linear addresses by which it can be written: stores of all vCPUs stop the guest,
    behind the store. Where an upper entry leads to another table now, the watch follows.

    What no instruction stores is not seen so: the A and D bits that the MMU itself sets,
    what devices write, and entries that nothing maps for writing. These are compared at
    each stop, whatever stopped the guest.

    A watch is of the root that was used when it was set, whatever CR3 becomes.
    """
    for which in deleted:
        WATCHES.delete(which)
    WATCHES.forget_deleted()
    wanted = [_address(word) for word in addresses]
    made = _add(wanted, root, marks=not no_ad) if wanted else []
    if as_json:
        _print_json(made if wanted else WATCHES.all)
    elif wanted or not deleted:
        _print(made if wanted else WATCHES.all)
    return DONE


def _address(word: str) -> int:
    if ".." in word:
        raise PtliveError("single addresses are watched; `ptlive changes` tells of ranges")
    return NUMBER.convert(word, None, None)


def _add(wanted: list[int], root: str | None, *, marks: bool) -> list[Watched]:
    if len(WATCHES.all) + len(wanted) > MOST_WATCHED:
        raise PtliveError(f"no more than {MOST_WATCHED} addresses are watched at once")
    added = []
    with connect(options(*filter(None, [root]))) as connection:
        (space,) = connection.spaces
        known = profile_of(connection, space, None, ProfileOptions())
        areas = known.areas if known else ()
        for va in wanted:
            same = [one for one in WATCHES.all if one.va == va and one.root == int(space.root[0])]
            if same:
                tell(f"{va:#x} is watched already: {same[0].title}")
                continue
            made = Watched(WATCHES.next_number(), space, va, areas=areas, marks=marks)
            try:
                made.arm(connection.target)
            except BaseException:
                made.delete()
                raise
            WATCHES.all.append(made)
            added.append(made)
    if len(WATCHES.all) == len(added):
        _publish(None, None)  # so that a condition may ask before the first stop
    return added


def _print(watches: list[Watched]) -> None:
    if not WATCHES.all:
        stdout().out("nothing is watched", highlight=False)
    for one in watches:
        print_lines(one.lines())
    if watches:
        stdout().out(_BESIDE, highlight=False)


def _print_json(watches: list[Watched]) -> None:
    roots = {one.root: hex(one.root) for one in watches}
    with connect(options(*roots.values())) as connection:
        told = [
            {"watches": [one.as_json() for one in watches if one.root == int(space.root[0])]}
            for space in connection.spaces
        ]
        print_json(connection.envelope("watch", told))
