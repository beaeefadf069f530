"""What a run found, for a person at a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from scripts.benchmark import peers, qemu, questions
from scripts.benchmark.ours import SOURCES
from scripts.benchmark.point import C
from scripts.benchmark.result import PAIRS, largest, rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from scripts.benchmark.point import Point
    from scripts.benchmark.timing import Spread

# What ptlive is compared with: a column each if it was measured.
_OTHERS = (C, qemu.RAW, qemu.INFO_TLB, peers.GDB_PT_DUMP, peers.PWNDBG)


def machine(values: Mapping[str, str]) -> Text:
    """Return what it ran on."""
    return Text(", ".join(f"{name} {value}" for name, value in values.items()), style="dim")


def point(found: Point) -> Iterator[RenderableType]:
    """Yield what was measured on one guest."""
    yield Text()
    yield Text(f"{found.label}, {found.tables:,} tables: {found.shape.meaning}", style="bold")
    if found.walks.series:
        yield _walks(found)
    if found.translations.series:
        yield _translations(found)
    if found.questions.series:
        yield _questions(found)
    if found.verified:
        verified = found.verified
        yield Text(
            f"verify by a twin: {verified.probes:,} accesses, none disagreed, in "
            f"{verified.seconds:.2f} s: {rate(found):,.0f} a second"
        )
    if found.commands:
        yield _commands(found)
    for name, why in found.skipped.items():
        yield Text(f"not measured: {name}: {why}", style="yellow")
    for sentence in found.without:
        yield Text(f"the guest is {sentence}", style="yellow")


def _walks(found: Point) -> Table:
    table = _table("all leaves, into arrays", "ms", "turns")
    others = [name for name in _OTHERS if found.walks.spread(name)]
    for name in others:
        table.add_column(f"/ {name}", justify="right")
    for series in found.walks.series:
        spread = found.walks.spread(series)
        assert spread is not None  # it is one of the series
        ours = series.partition(",")[0] in SOURCES
        ratios = [_times(found.walks.ratio(series, other)) if ours else "" for other in others]
        table.add_row(series, _figure(spread.median * 1e3), str(spread.count), *ratios)
    return table


def summary(points: Sequence[Point]) -> Iterator[RenderableType]:
    """Yield the ratios that are kept by name."""
    chosen = largest(points)
    yield Text()
    if chosen is None:
        yield Text("no ratios by name: no guest of a judged shape has 100,000 leaves")
        return
    yield Text(f"ptlive's time over that of others, {chosen.label}", style="bold")
    table = _table("ratio", "median", "min..max", "that is")
    kept = [
        (name, times.ratio(*pair))
        for times, pairs in ((chosen.walks, PAIRS), (chosen.questions, questions.PAIRS))
        if times.series
        for name, pair in pairs.items()
    ]
    for name, spread in kept:
        if spread is None:
            table.add_row(name, "-", "-", "not measured")
            continue
        median = spread.median
        meaning = (
            f"{_figure(1 / median)} times faster" if median < 1 else f"{median:.2f} times the time"
        )
        extent = f"{_ratio(spread.least)}..{_ratio(spread.greatest)}"
        table.add_row(name, _ratio(median), extent, meaning)
    yield table
    yield Text(qemu.INFO_TLB_LIMITS, style="dim")


def _translations(found: Point) -> Table:
    table = _table("translations", "addresses", "a second", "min..max")
    for series in found.translations.series:
        spread = found.translations.spread(series)
        count = found.counts[series]
        if spread:
            rates = (count / spread.median, count / spread.greatest, count / spread.least)
            median, least, most = (f"{value:,.0f}" for value in rates)
            table.add_row(series, f"{count:,}", median, f"{least}..{most}")
    return table


def _questions(found: Point) -> Table:
    table = _table(
        "question, over shared memory", "ms", "beside", "ms", "ratio (min..max)", "turns"
    )
    asked = found.questions
    for ours, other in questions.PAIRS.values():
        mine, bare, ratio = asked.spread(ours), asked.spread(other), asked.ratio(ours, other)
        if mine and bare and ratio:
            took = (_figure(one.median * 1e3) for one in (mine, bare))
            table.add_row(ours, next(took), other, next(took), _times(ratio), str(ratio.count))
    return table


def _commands(found: Point) -> Table:
    table = _table("command, all in", "ms", "min..max", "runs", "peak memory")
    for command in found.commands:
        peak = f"{command.peak / 1e6:,.0f} MB"
        if command.arrays:
            peak += f" ({command.peak / command.arrays:.1f} x the leaves' arrays)"
        table.add_row(command.name, *_cells(command.seconds), peak)
    return table


def _table(first: str, *others: str) -> Table:
    """Return an empty table: text to the left, figures to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _cells(spread: Spread) -> tuple[str, str, str]:
    least, greatest = _figure(spread.least * 1e3), _figure(spread.greatest * 1e3)
    return _figure(spread.median * 1e3), f"{least}..{greatest}", str(spread.count)


def _times(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{_ratio(spread.median)} ({_ratio(spread.least)}..{_ratio(spread.greatest)})"


def _ratio(value: float) -> str:
    """Return a small ratio as one over something, which says how many times faster."""
    return f"1/{_figure(1 / value)}" if 0 < value < 0.1 else _figure(value)


def _figure(value: float) -> str:
    """Return two digits at least, and never an exponent."""
    if value >= 10:
        return f"{value:,.0f}"
    digits = 1 if value >= 1 else 1 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{digits}f}"
