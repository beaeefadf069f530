"""The plot: what an operation costs a page, and the stack that it takes, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptlive.errors import PtliveError
from scripts.measure_thesis.figures import rows
from scripts.measure_thesis.sources import LEVELS, OPERATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

_STYLES = {"old": ("#dc2626", "-"), "new": ("#1d4ed8", "-")}
_DASHES = dict(zip(OPERATIONS, ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1))), strict=True))


def draw(figures: dict[str, Any], file: Path) -> None:
    """Write the picture, the same bytes for the same figures."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "thesis", "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        length, density, stack = figure.subplots(1, 3, width_ratios=(4, 4, 3))
        density.sharey(length)
        _instructions(length, figures, "length", "leaves", "4K pages side by side")
        _instructions(density, figures, "density", "stride", "512 pages, one every ... pages")
        density.set_ylabel("")
        _stack(stack, figures)
        figure.suptitle("A cascade of functions (red), one recursive function (blue)", fontsize=11)
        try:
            figure.savefig(file, metadata={"Date": None})
        except OSError as error:
            raise PtliveError(f"cannot write {file}: {error.strerror}") from error


def _instructions(axes: Axes, figures: dict[str, Any], shape: str, by: str, what: str) -> None:
    for way, (colour, _) in _STYLES.items():
        for operation in OPERATIONS:
            found = [
                row
                for row in rows(figures, way, 5)
                if row.operation == operation and row.shape == shape
            ]
            x = [getattr(row, by) for row in found]
            y = [row.instructions / row.leaves for row in found]
            if len(found) > 1:
                label = operation if way == "new" else None
                axes.plot(x, y, color=colour, linestyle=_DASHES[operation], label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel(what)
    axes.set_ylabel("instructions for a page, five levels")
    axes.grid(visible=True, which="major", color="#e5e7eb")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _stack(axes: Axes, figures: dict[str, Any]) -> None:
    for way, (colour, _) in _STYLES.items():
        for operation in OPERATIONS:
            y = [figures["counts"][way][str(levels)]["stack"][operation] for levels in LEVELS]
            axes.plot(LEVELS, y, color=colour, linestyle=_DASHES[operation], marker=".")
    axes.set_ylim(bottom=0)
    axes.set_xticks(LEVELS)
    axes.set_xlabel("levels")
    axes.set_ylabel("bytes of stack, painted")
    axes.grid(visible=True, axis="y", color="#e5e7eb")
    axes.spines[["top", "right"]].set_visible(False)
