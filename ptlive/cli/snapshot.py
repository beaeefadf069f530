"""`ptlive snapshot`: keep a guest's tables, or all of its memory, in a file."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ptlive.answers.snapshot import keys_of, save_memory, spaces_to_keep
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE
from ptlive.cli.options import TargetOptions, target_options
from ptlive.cli.tell import tell_changes, tell_notes
from ptlive.show import words
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import plain, stdout
from ptlive.target.from_file.snapshot import describe
from ptlive.target.process import orderly_signals
from ptlive.target.saved_state import memory_types_of

_TORN = 1000


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="All RAM and ROM, not the tables alone.")
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@target_options
def snapshot(target: TargetOptions, file: Path, full: bool, force: bool) -> int:
    """Keep the guest's registers, its memory map and its tables in a file.

    The tables are those of every vCPU's root, or of the roots that are chosen, and of
    the other halves where user mode has tables of its own. Every command that only reads
    takes the file by --from; with --full, verify, selftest and the search for roots do,
    too. Only you may read the file: what was in the memory is in it.
    """
    from ptlive.memory.snapshot.write import create  # zstandard, which --help does not need

    begun = time.monotonic()
    with (
        orderly_signals(),
        create(file, force=force) as writer,
        connect(target) as connection,
        progress() as told,
    ):
        chosen = connection.spaces if target.root or target.all_roots else ()
        spaces, notes = spaces_to_keep(connection.target, target, chosen)
        everything = connection.scanned if full else None
        saved = save_memory(writer, connection.target, spaces, everything, told)
        changes = connection.changes()
        if saved.lost:
            lost = words.count(saved.lost, "frame")
            notes.append(("not-read", f"{lost} of memory could not be read and are not in it"))
        kept = [*notes, *(changes.notes if changes else ())]
        if connection.target.file is not None:
            kept += [*connection.target.file.first, *connection.target.file.late()]
        # The state that QEMU saves of a guest that runs is another by now.
        types = memory_types_of(connection.target, connection.running) if not target.live else None
        about = describe(
            connection.target,
            guest=connection.guest,
            full=full and not saved.lost,
            live=target.live,
            pkru=keys_of(connection.target, target, connection.running, live=target.live),
            memory_types=types,
            roots=[{"root": hex(int(one.root[0])), "origin": one.origin} for one in spaces],
            notes=kept,
        )
        writer.finish(about | {"torn": changes.as_json()[:_TORN] if changes else []})
    result = {
        "file": str(file),
        "bytes": writer.size,
        "tables": saved.tables,
        "frames": writer.frames,
        "stored": writer.stored,
        "full": about["full"],
        "seconds": round(time.monotonic() - begun, 3),
    }
    tell_notes(notes)
    if target.json:
        whole = replace(connection, spaces=spaces)
        value = whole.envelope("snapshot", [{} for _ in spaces], notes, changes)
        print_json(value | result)
        return DONE
    if changes:
        tell_changes(changes)
    stdout().out(plain(_summary(result, len(spaces))), highlight=False)
    return DONE


def _summary(result: dict[str, Any], roots: int) -> str:
    others = result["frames"] - result["tables"]
    rest = f" and {words.count(others, 'other frame')} of memory" if others > 0 else ""
    return (
        f"{result['file']}: {words.count(result['tables'], 'table')} of "
        f"{words.count(roots, 'root')}{rest}, {result['bytes']:,} bytes, "
        f"in {result['seconds']:.1f} s"
    )
