"""`ptlive table`: one table of the guest, entry by entry."""

from __future__ import annotations

import click
import numpy as np

from ptlive.cli.connect import connect
from ptlive.cli.main import DONE
from ptlive.cli.options import NUMBER, TargetOptions, target_options
from ptlive.errors import PtliveError
from ptlive.paging import fields
from ptlive.show import entries as show
from ptlive.show.json import print_json
from ptlive.show.terminal import heading, print_lines, stdout


@click.command()
@click.argument("address", type=NUMBER)
@click.option("--level", type=int, help="Of the table; 1 is the PTEs'.  [default: the root's]")
@click.option("--all", "everything", is_flag=True, help="Show entries that are zero, too.")
@target_options
def table(target: TargetOptions, address: int, level: int | None, everything: bool) -> int:
    """Print the table at a physical address, each entry decoded at its level."""
    results = []
    with connect(target) as connection:
        for space in connection.spaces:
            lvl = fields.check_level(space.format, level if level is not None else space.format.top)
            shape = space.format.level(lvl)
            size = shape.entry_size << shape.index_bits
            if address % size:
                raise PtliveError(f"{address:#x} is not aligned to a table of {size} bytes")
            data, valid = space.memory.read(np.array([address], dtype=np.uint64), size)
            if not valid[0]:
                raise PtliveError(f"the table {address:#x} lies in no RAM and no ROM of the guest")
            values = [int(entry) for entry in data[0].view(shape.entry)]
            rows = [(at, entry) for at, entry in enumerate(values) if entry or everything]
            if target.json:
                results.append(show.table_json(space.format, lvl, address, rows))
                continue
            stdout().print(
                heading(f"{shape.spec} table ({shape.linux}, level {lvl}) at {address:#x}")
            )
            print_lines(show.table_lines(space.format, lvl, address, rows))
            zero = sum(entry == 0 for entry in values)
            if zero and not everything:
                stdout().out(f"{zero} of {len(values)} entries are zero", highlight=False)
        if target.json:
            print_json(connection.envelope("table", results))
    return DONE
