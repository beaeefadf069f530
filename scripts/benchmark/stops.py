"""`scripts/bench stops`: a session of gdb with many stops, and a translation at each.

Neither the time of a translation nor gdb's memory may grow. The menu guest, parked in a loop,
meets a breakpoint again and again.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import click

from ptlive.cli.gdb import LOADER
from ptlive.errors import PtliveError
from ptlive.guests import recipe
from ptlive.show.terminal import aligned
from ptlive.target import launch
from ptlive.target.machine import Machine
from ptlive.target.process import orderly_signals
from scripts.benchmark.guest import own_state

_IN_GDB = Path(__file__).with_name("stops_in_gdb.py")
#: What is asked at each stop; nothing, to see what gdb itself takes.
WAYS = {
    "nothing": "",
    "$_pt_pa($rip)": "output $_pt_pa($rip)",
    "ptlive translate $rip": "ptlive translate $rip",
    "the same by the stub": "ptlive translate $rip --memory stub",
}
#: The first and the last part of a session that are compared.
PART = 10
#: Issue 6: the median of the last tenth over that of the first, and bytes of memory.
MOST_TIMES, MOST_BYTES = 1.1, 5_000_000


class Session(NamedTuple):
    """One session: milliseconds at its begin and end, and bytes that it grew by between.

    stop, answer: as a clock on the wall tells them; own: of the processor, for both, in gdb
    """

    name: str
    stop: tuple[float, float]
    answer: tuple[float, float]
    own: tuple[float, float]
    growth: int

    @property
    def ratio(self) -> float:
        """Return gdb's own time at the end over that at the begin: no other process disturbs it."""
        return self.own[1] / self.own[0]

    @property
    def steady(self) -> bool:
        """Whether neither grows."""
        return self.ratio <= MOST_TIMES and self.growth < MOST_BYTES


@click.command()
@click.option("--stops", type=click.IntRange(PART), default=10_000, show_default=True)
@click.option("--only", "names", type=click.Choice(list(WAYS)), multiple=True)
def main(stops: int, names: tuple[str, ...]) -> None:
    """Measure; exit with 1 if a session grows."""
    with tempfile.TemporaryDirectory(prefix="ptlive-bench-") as name, orderly_signals():
        folder = Path(name)
        own_state(folder)
        with launch.temporary(recipe("menu"), Machine()) as guest:
            address = guest.gdb.removeprefix("unix:")
            found = [session(one, stops, address, folder) for one in names or WAYS]
    for line in _lines(found, stops):
        click.echo(line)
    sys.exit(0 if all(one.steady for one in found) else 1)


def session(name: str, stops: int, address: str, folder: Path) -> Session:
    """Run one session. Raises PtliveError if gdb fails."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    words = ["gdb", "-nx", "-batch"]
    for command in (
        "set pagination off",
        f"source {LOADER}",
        f"target remote {address}",
        f'set $stops = "{stops}"',
        f'set $asked = "{WAYS[name]}"',
        f'set $report = "{report}"',
        f"source {_IN_GDB}",
    ):
        words += ["-ex", command]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if not report.exists():
        raise PtliveError(f"{name}: gdb fails: {done.stderr.strip()[-300:]}")
    told = json.loads(report.read_text())
    part = stops // PART
    times = {
        key: tuple(statistics.median(some) * 1e3 for some in (told[key][:part], told[key][-part:]))
        for key in ("stopped", "answered", "gdb")
    }
    growth = told["memory"][-1] - told["memory"][part - 1]
    return Session(name, times["stopped"], times["answered"], times["gdb"], growth)


def _lines(found: list[Session], stops: int) -> list[str]:
    header = (f"{stops:,} stops, at each", "stop ms", "answer ms", "gdb's own ms", "growth")
    columns = [
        [one.name for one in found],
        [f"{one.stop[0]:.2f} .. {one.stop[1]:.2f}" for one in found],
        [f"{one.answer[0]:.2f} .. {one.answer[1]:.2f}" for one in found],
        [f"{one.own[0]:.2f} .. {one.own[1]:.2f} (x {one.ratio:.2f})" for one in found],
        [f"{one.growth / 1e6:.1f} MB" for one in found],
    ]
    return list(aligned(header, columns, " >>>>"))


if __name__ == "__main__":
    main()
