"""`scripts/bench`: what ptlive costs beside others, in one run.

Each guest is booted, stopped, measured and ended. Interrupting it leaves no QEMU behind.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from ptlive.errors import PtliveError
from ptlive.show.terminal import plain
from ptlive.target.process import orderly_signals
from scripts.benchmark import machine, plot, table
from scripts.benchmark.guest import own_state
from scripts.benchmark.point import PARTS, Options, Point, take
from scripts.benchmark.result import as_json
from scripts.benchmark.shapes import FULL, SHAPES, USUAL, shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.status import Status

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--shape", "shapes", multiple=True, type=click.Choice(list(SHAPES)), help="Only it.")
@click.option("--leaves", type=click.IntRange(1, 4_000_000), help="How many, for --shape.")
@click.option("--full", is_flag=True, help="All shapes and sizes; half an hour with peers.")
@click.option(
    "--only",
    "parts",
    multiple=True,
    type=click.Choice(PARTS),
    help="Measure only this; may be repeated.",
)
@click.option("--turns", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--seconds", type=float, default=10.0, show_default=True, help="For all turns of one way."
)
@click.option(
    "--limit", type=float, default=120.0, show_default=True, help="Seconds for one run of a peer."
)
@click.option("--gdb-pt-dump", type=_FOLDER, help="A checkout of gdb-pt-dump.")
@click.option("--pwndbg", type=_FOLDER, help="A checkout of pwndbg that is set up.")
@click.option(
    "--drgn",
    metavar="[PYTHON]",
    is_flag=False,
    flag_value=sys.executable,
    help="A Python that has drgn; without a value this one.",
)
@click.option("--json", "json_file", type=_FILE, help="Write all figures there.")
@click.option("--plot", "picture", type=_FILE, help="Draw cost against size, as PNG or SVG.")
def main(
    shapes: Sequence[str],
    leaves: int | None,
    full: bool,
    parts: tuple[str, ...],
    turns: int,
    seconds: float,
    limit: float,
    gdb_pt_dump: Path | None,
    pwndbg: Path | None,
    drgn: str | None,
    json_file: Path | None,
    picture: Path | None,
) -> None:
    """Measure ptlive beside others on guests of several shapes and sizes."""
    if leaves and not shapes:
        raise click.UsageError("--leaves needs --shape")
    if leaves and "stock" in shapes:
        raise click.UsageError("stock is Linux as it boots: it has no --leaves")
    if shapes and full:
        raise click.UsageError("--full has all shapes; give it or --shape")
    chosen = [(name, leaves) for name in shapes] or list(FULL if full else USUAL)
    options = Options(turns, seconds, limit, gdb_pt_dump, pwndbg, drgn, parts or PARTS)
    try:
        machine.check_programs()
        if picture:
            plot.check(picture)
        with orderly_signals():
            _run(chosen, options, json_file, picture)
    except PtliveError as error:
        click.echo(f"bench: {plain(str(error))}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        click.echo("bench: interrupted", err=True)
        sys.exit(130)


def _run(
    chosen: Sequence[tuple[str, int | None]],
    options: Options,
    json_file: Path | None,
    picture: Path | None,
) -> None:
    begun = time.monotonic()
    output, beside = Console(width=_width()), Console(stderr=True)
    on = machine.describe()
    output.print(table.machine(on))
    points: list[Point] = []
    with tempfile.TemporaryDirectory(prefix="ptlive-bench-") as name:
        folder = Path(name)
        own_state(folder)
        for which, leaves in chosen:
            with beside.status(which) as status:
                point = take(
                    shape(which),
                    leaves,
                    options,
                    folder,
                    partial(_show, status, which),
                )
            points.append(point)
            for part in table.point(point):
                output.print(part)
            # What is there is kept, should a later guest fail or somebody interrupt.
            _write(points, on, time.monotonic() - begun, json_file, picture)
    for part in table.summary(points):
        output.print(part)
    beside.print(f"{time.monotonic() - begun:.0f} s in all", style="dim")


def _show(status: Status, which: str, what: str) -> None:
    status.update(f"{which}: {what}")


def _write(
    points: Sequence[Point],
    on: dict[str, str],
    seconds: float,
    json_file: Path | None,
    picture: Path | None,
) -> None:
    if json_file:
        text = json.dumps(as_json(points, on, seconds), indent=1)
        try:
            json_file.write_text(text + "\n")
        except OSError as error:
            raise PtliveError(f"cannot write {json_file}: {error.strerror}") from error
    if picture:
        names = ("CPU", "cores", "kernel", "QEMU", "Python", "numpy", "date")
        plot.draw(points, ", ".join(f"{name} {on[name]}" for name in names), picture)


def _width() -> int | None:
    """Return None for the terminal's own width, or what the widest table takes."""
    return None if sys.stdout.isatty() else 160


main()
