"""The plot: what each operation costs a page, and the stack that it takes, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.errors import PtliveError
from scripts.measure_thesis.counts import Count
from scripts.measure_thesis.figures import rows
from scripts.measure_thesis.sources import LEVELS, OPERATIONS, WAYS

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Old, new, and new with what the compiler may know.
_STYLES = (("#dc2626", "-"), ("#1d4ed8", "-"), ("#15803d", "--"))
_GREY = "#e5e7eb"


def draw(figures: dict[str, Any], file: Path) -> None:
    """Write the picture, the same bytes for the same figures."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "thesis", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(12.5, 5.2), layout="constrained")
        _fill(figure, figures)
        try:
            figure.savefig(file, metadata={"Date": None})
        except OSError as error:
            raise PtliveError(f"cannot write {file}: {error.strerror}") from error


def _fill(figure: Figure, figures: dict[str, Any]) -> None:
    """Put a column for each operation, and one for the stack; no density is told of remap."""
    grid = figure.add_gridspec(2, 6, width_ratios=(1, 1, 1, 1, 1, 1.15))
    shapes = (("length", "leaves", "4K pages side by side"), ("density", "stride", "... pages"))
    first: Axes | None = None
    for row, (shape, by, what) in enumerate(shapes):
        for column, operation in enumerate(OPERATIONS):
            lines = _lines(figures, operation, shape, by)
            axes = figure.add_subplot(grid[row, column], sharey=first)
            if len(lines["old"][0]) < 2:
                axes.axis("off")
                _legend(axes)
                continue
            first = first or axes
            for (x, y), (colour, dash) in zip(lines.values(), _STYLES, strict=True):
                axes.plot(x, y, color=colour, linestyle=dash, marker=".", markersize=4)
            _scales(axes, lines["old"][0])
            axes.set_xlabel(what if shape == "length" else f"512 pages, one every {what}")
            axes.tick_params(labelleft=column == 0)
            if not row:
                axes.set_title(operation, fontweight="bold")
            if not column:
                axes.set_ylabel("instructions for a page")
    _stack(figure.add_subplot(grid[:, 5]), figures)


def _lines(
    figures: dict[str, Any], operation: str, shape: str, by: str
) -> dict[str, tuple[list[int], list[float]]]:
    """Return x and y of each line: both ways, and the new one with all experiments in it."""
    counted = {way: rows(figures, way, 5) for way in WAYS}
    counted["more"] = [Count(*row) for row in figures["experiments"][-1]["rows"]]
    found = {}
    for name, counts in counted.items():
        mine = [row for row in counts if (row.operation, row.shape) == (operation, shape)]
        each = [row.instructions / row.leaves for row in mine]
        found[name] = ([getattr(row, by) for row in mine], each)
    return found


def _scales(axes: Axes, x: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(x, [str(value) if value < 1024 else f"{value // 1024}Ki" for value in x])
    axes.minorticks_off()
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.grid(visible=True, axis="y", which="major", color=_GREY)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(axes: Axes) -> None:
    names = ("old: a cascade", "new: one recursion", "new, with a loop\nand copies (see text)")
    for name, (colour, dash) in zip(names, _STYLES, strict=True):
        axes.plot([], [], color=colour, linestyle=dash, marker=".", label=name)
    axes.legend(frameon=False, loc="center", title="five levels")


def _stack(axes: Axes, figures: dict[str, Any]) -> None:
    """Draw what is between the least and the most of the five operations."""
    for way, (colour, _) in zip(WAYS, _STYLES, strict=False):
        by_levels = [figures["counts"][way][str(levels)]["stack"].values() for levels in LEVELS]
        least, most = ([pick(values) for values in by_levels] for pick in (min, max))
        axes.fill_between(LEVELS, least, most, color=colour, alpha=0.2, linewidth=0)
        axes.plot(LEVELS, most, color=colour, marker=".")
    axes.set_ylim(bottom=0)
    axes.set_xticks(LEVELS)
    axes.set_xlabel("levels")
    axes.set_title("stack", fontweight="bold")
    axes.set_ylabel("bytes, the least to the most of the five")
    _plain(axes)
