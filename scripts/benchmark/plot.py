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

# Shapes that grow into each other; others are points beside the lines.
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

    figure = Figure(figsize=(9, 6.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("leaves (pages of any size)")
    axes.set_ylabel("milliseconds for all of them")
    axes.set_title("Listing what is mapped: cost against size", loc="left", fontweight="bold")
    axes.grid(visible=True, which="major", color="#e5e7eb")
    axes.spines[["top", "right"]].set_visible(False)
    ends = []
    for name, (colour, style) in _STYLES.items():
        end = _series(axes, points, name, colour, style)
        if end:
            ends.append((end[0], end[1], name, colour))
    _label(axes, ends)
    _name_shapes(axes, points)
    figure.supxlabel(machine, fontsize=7, color="#6b7280")
    try:
        figure.savefig(file, dpi=150)
    except OSError as error:
        raise PtliveError(f"cannot write {file}: {error.strerror}") from error


def _series(
    axes: Axes, points: Sequence[Point], name: str, colour: str, style: str
) -> tuple[float, float] | None:
    """Draw one path; return where its line ends."""
    measured = [
        (point, spread) for point in points if (spread := point.walks.spread(name)) is not None
    ]
    line = sorted(
        (point.leaves, spread.median * 1e3)
        for point, spread in measured
        if point.shape.name in _LINE
    )
    beside = [
        (point.leaves, spread.median * 1e3)
        for point, spread in measured
        if point.shape.name not in _LINE
    ]
    if beside:
        axes.plot(*zip(*beside, strict=True), "o", color=colour, markerfacecolor="white")
    if line:
        axes.plot(*zip(*line, strict=True), style, marker="o", markersize=4, color=colour)
        return line[-1]
    return None


def _label(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Write each path's name beside the end of its line, none over another."""
    low, high = (math.log(limit) for limit in axes.get_ylim())
    ends = sorted(ends, key=lambda end: end[1])
    heights = spread_out([math.log(y) for _, y, _, _ in ends], (high - low) * 0.038)
    for (_, _, name, colour), height in zip(ends, heights, strict=True):
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
