"""`ptlive table`: one table of the guest, entry by entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np

from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE
from ptlive.cli.options import NUMBER, TargetOptions, target_options
from ptlive.cli.tell import tell_changes
from ptlive.errors import PtliveError
from ptlive.paging import fields
from ptlive.show import entries as show
from ptlive.show.json import print_json
from ptlive.show.terminal import heading, print_lines, stdout

if TYPE_CHECKING:
    from ptlive.space import AddressSpace


@click.command(cls=Command)
@click.argument("address", type=NUMBER)
@click.option(
    "--level", type=int, metavar="N", help="Of the table; 1 is the PTEs'.  [default: the root's]"
)
@click.option("--all", "everything", is_flag=True, help="Show entries that are zero, too.")
@target_options
def table(target: TargetOptions, address: int, level: int | None, everything: bool) -> int:
    """Print the table at a physical address, each entry decoded at its level."""
    with connect(target) as connection:
        read = [_read(space, address, level) for space in connection.spaces]
        changes = connection.changes()
    results = []
    for space, (lvl, values) in zip(connection.spaces, read, strict=True):
        shape = space.format.level(lvl)
        rows = [(at, entry) for at, entry in enumerate(values) if entry or everything]
        if target.json:
            torn = changes.entries if changes else None
            results.append(show.table_json(space.format, lvl, address, rows, torn))
            continue
        connection.print_root(space)
        names = f"{shape.spec} table ({shape.linux}, level {lvl})"
        stdout().print(heading(f"{names} at {address:#x}"))
        torn = changes.entries if changes else {}
        print_lines(show.table_lines(space.format, lvl, address, rows, torn))
        zero = sum(entry == 0 for entry in values)
        if zero and not everything:
            stdout().out(f"{zero} of {len(values)} entries are zero", highlight=False)
    if target.json:
        print_json(connection.envelope("table", results, changes=changes))
    elif changes:
        tell_changes(changes)
    return DONE


def _read(space: AddressSpace, address: int, level: int | None) -> tuple[int, list[int]]:
    """Return the table's level and its entries."""
    lvl = fields.check_level(space.format, level if level is not None else space.format.top)
    shape = space.format.level(lvl)
    size = shape.entry_size << shape.index_bits
    if address % size:
        raise PtliveError(f"{address:#x} is not aligned to a table of {size} bytes")
    data, valid = space.memory.read(np.array([address], dtype=np.uint64), size)
    if not valid[0]:
        raise PtliveError(f"the table {address:#x} lies in no RAM and no ROM of the guest")
    return lvl, [int(entry) for entry in data[0].view(shape.entry)]
