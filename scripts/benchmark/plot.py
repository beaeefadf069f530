"""The picture: cost against size, a line for each path."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from scripts.benchmark import peers, qemu
from scripts.benchmark.ours import SOURCES
from scripts.benchmark.point import C

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from scripts.benchmark.point import Point

# Shapes that grow into each other; others stand beside them.
_LINE = ("stock", "mixed", "dense")
# Ours in blues and greens, others in greys and reds; in the order of the legend.
_STYLES = {
    peers.PWNDBG: ("#7f1d1d", "-"),
    peers.GDB_PT_DUMP: ("#dc2626", "-"),
    qemu.INFO_TLB: ("#ea8a1f", "-"),
    "gdb": ("#7c3aed", "-"),
    "qmp": ("#0e7490", "-"),
    "proc": ("#65a30d", "-"),
    "stub": ("#1d4ed8", "-"),
    qemu.RAW: ("#60a5fa", "--"),
    "shared": ("#15803d", "-"),
    C: ("#6b7280", "--"),
}
FORMATS = (".png", ".svg", ".pdf")


def check(file: Path) -> None:
    """See that a picture can be made. Raises PtliveError."""
    if file.suffix not in FORMATS:
        raise PtliveError(f"{file} is no picture: the name ends in {', '.join(FORMATS)}")
    try:
        import matplotlib.figure  # noqa: F401  # only whether it is there
    except ImportError:
        raise PtliveError("matplotlib is missing: pip install 'ptlive[bench]'") from None


def draw(points: Sequence[Point], machine: str, file: Path) -> None:
    """Write the picture. Raises PtliveError if it cannot be written."""
    from matplotlib.figure import Figure

    line = sorted((p for p in points if p.shape.name in _LINE), key=lambda point: point.leaves)
    others = [point for point in points if point.shape.name not in _LINE]
    figure = Figure(figsize=(9 + 0.8 * len(others), 6.2), layout="constrained")
    widths = [8.0, max(0.8 * len(others), 1.0)]
    grid = figure.add_gridspec(1, 2 if others else 1, width_ratios=widths if others else None)
    axes = figure.add_subplot(grid[0])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("leaves (pages of any size)")
    axes.set_ylabel("milliseconds for all of them")
    axes.set_title("Listing what is mapped: cost against size", loc="left", fontweight="bold")
    _plain(axes)
    beside = figure.add_subplot(grid[1], sharey=axes) if others else None
    if beside:
        _plain(beside)
        _name_categories(beside, others)
    ends = []
    for name, (colour, style) in _STYLES.items():
        x, y = _milliseconds(line, name)
        if x:
            sizes = [line[at].leaves for at in x]
            axes.plot(sizes, y, style, marker="o", markersize=4, color=colour)
            ends.append((y[-1], name, colour))
        if beside:
            x, y = _milliseconds(others, name)
            beside.plot(x, y, "o", color=colour, markerfacecolor="white")
    _label(axes, ends)
    _name_shapes(axes, line)
    figure.supxlabel(machine, fontsize=7, color="#6b7280")
    try:
        figure.savefig(file, dpi=150)
    except OSError as error:
        raise PtliveError(f"cannot write {file}: {error.strerror}") from error


def _plain(axes: Axes) -> None:
    axes.grid(visible=True, which="major", color="#e5e7eb")
    axes.spines[["top", "right"]].set_visible(False)


def _milliseconds(points: Sequence[Point], name: str) -> tuple[list[int], list[float]]:
    """Return on which of the points a path was measured, and how long it took."""
    spreads = [point.walks.spread(name) for point in points]
    found = [(at, spread.median * 1e3) for at, spread in enumerate(spreads) if spread]
    return [at for at, _ in found], [value for _, value in found]


def _name_categories(axes: Axes, points: Sequence[Point]) -> None:
    """Write below which shapes the points are of that are in no line."""
    names = [f"{point.shape.name}\n{point.leaves:,}" for point in points]
    axes.set_xticks(range(len(points)), names, fontsize=8)
    axes.set_xlim(-0.6, len(points) - 0.4)
    axes.tick_params(labelleft=False)
    axes.set_title("other shapes", loc="left", fontsize=10)


def _label(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write each path's name beside the end of its line, none over another."""
    low, high = (math.log(limit) for limit in axes.get_ylim())
    ends = sorted(ends)
    heights = spread_out([math.log(y) for y, _, _ in ends], (high - low) * 0.038)
    for (_, name, colour), height in zip(ends, heights, strict=True):
        # What is ptlive's stands out from what it is compared with.
        ours = name in SOURCES
        axes.annotate(
            f"ptlive, {name}" if ours else name,
            (1.01, math.exp(height)),
            xycoords=("axes fraction", "data"),
            color=colour,
            va="center",
            fontsize=9,
            fontweight="bold" if ours else "normal",
            annotation_clip=False,
        )


def spread_out(places: Sequence[float], apart: float) -> list[float]:
    """Move ascending places as little as possible, so that each is so far from the next."""
    # Neighbours that touch move as one group around the middle of where they belong.
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _lowest(groups[-1], apart) < _highest(groups[-2], apart) + apart:
            last = groups.pop()
            groups[-1] += last
    return [
        _lowest(group, apart) + number * apart for group in groups for number in range(len(group))
    ]


def _lowest(group: Sequence[float], apart: float) -> float:
    return sum(group) / len(group) - (len(group) - 1) * apart / 2


def _highest(group: Sequence[float], apart: float) -> float:
    return _lowest(group, apart) + (len(group) - 1) * apart


def _name_shapes(axes: Axes, points: Sequence[Point]) -> None:
    """Write the name of each shape above its size."""
    top = axes.get_ylim()[1]
    axes.set_ylim(top=top * 2)
    for point in points:
        axes.axvline(point.leaves, color="#d1d5db", linewidth=0.8, zorder=0)
        axes.annotate(
            point.shape.name,
            (point.leaves, top * 1.7),
            rotation=90,
            ha="right",
            va="top",
            fontsize=8,
            color="#6b7280",
        )
