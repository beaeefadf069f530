"""The lines of QEMU's `info tlb` held against the walker's leaves: addresses and flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.report import Disagreement
from ptlive.oracle.info_tlb import FLAGS
from ptlive.paging.format import Kind
from ptlive.paging.paths import leaves
from ptlive.verify import quirks
from ptlive.verify.stepped import path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.analysis.report import Quirk, Report
    from ptlive.arrays import U64, Bool, Index
    from ptlive.oracle.info_tlb import Lines
    from ptlive.paging.graph import Graph
    from ptlive.paging.translate import Translations

ORACLE = "info-tlb"
ANSWERED_BY = "info tlb"
RIGHTS = "info tlb shows the leaf entry's own flags, not what all levels allow"
# Of one property, so many disagreements are told one by one.
TOLD = 100
_PS = np.uint64(1 << 7)
_SHOWN = np.uint64(sum(1 << bit for bit in FLAGS.values()))


def addresses(graph: Graph, lines: Lines, ranges: tuple[U64, U64] | None) -> U64:
    """Return where pages begin by the walk or by the lines, in ranges if there are any."""
    printed = lines.va
    if ranges is not None:
        inside = np.zeros(printed.size, dtype=np.bool_)
        for first, last in zip(*ranges, strict=True):
            inside |= (printed >= first) & (printed <= last)
        printed = printed[inside]
    return np.unique(np.concatenate([printed, *(chunk.va for chunk in leaves(graph))]))


def compare(report: Report, found: Translations, lines: Lines, root: str) -> None:
    """Fill a report with what the lines say of each translated address; root: see `Comparison`."""
    order = np.argsort(lines.va, kind="stable")
    at, printed = _line_of(found, lines.va[order], lines.flags[order])
    pa, flags = lines.pa[order][at], lines.flags[order][at]
    leaf = found.mapped
    size = np.uint64(1) << found.page_bits.astype(np.uint64)
    expected_pa = found.pa & ~(size - np.uint64(1))
    # Bit 7 of an entry for a base page is PAT, and not shown.
    expected_flags = found.entry & np.where(found.lvl == 1, _SHOWN & ~_PS, _SHOWN)
    known: dict[Quirk, Bool] = {
        quirk: applies
        for quirk, applies in quirks.of_lines(found, printed, pa, expected_pa).items()
        if applies.any()
    }
    explained = np.logical_or.reduce([np.zeros_like(leaf), *known.values()])
    unreadable = found.kind == Kind.UNREADABLE
    fault = report.check(ORACLE, ANSWERED_BY, "fault", asked=False)
    fault.unchecked[RIGHTS] += found.va.size
    frame = report.check(ORACLE, ANSWERED_BY, "frame")
    for quirk, applies in known.items():
        report.quirks[quirk] += int(applies.sum())
        frame.unchecked[f"quirk {quirk.name}"] += int(applies.sum())
    if unreadable.any():
        frame.unchecked["a table lies in no memory"] += int(unreadable.sum())

    def hold(aspect: str, wrong: Bool, asked: Bool, say: Callable[[int], tuple[str, str]]) -> None:
        if not asked.any():
            return  # a property that nothing called for is none that was not checked
        check = report.check(ORACLE, ANSWERED_BY, aspect)
        check.agreed += int((asked & ~wrong).sum())
        check.disagreed += int((asked & wrong).sum())
        for row in np.flatnonzero(asked & wrong)[:TOLD].tolist():
            va = int(found.va[row])
            predicted, observed = say(row)
            report.disagreements.append(
                Disagreement(
                    va=va,
                    access=None,
                    oracle=ORACLE,
                    aspect=aspect,
                    predicted=predicted,
                    observed=observed,
                    path=path_of(found, row),
                    reproduce=f"ptlive verify {va:#x} --oracle {ORACLE}{root}",
                )
            )

    hold(
        "frame",
        (leaf != printed) | (leaf & (pa != expected_pa)),
        ~explained & ~unreadable,
        lambda row: (
            f"page at {int(expected_pa[row]):#x}" if leaf[row] else "no page",
            f"page at {int(pa[row]):#x}" if printed[row] else "no line",
        ),
    )
    hold(
        "flags",
        flags != expected_flags,
        leaf & printed,
        lambda row: (_letters(int(expected_flags[row])), _letters(int(flags[row]))),
    )


def _line_of(found: Translations, va: U64, flags: U64) -> tuple[Index, Bool]:
    """Return which line, of lines in ascending order, covers each address, and if one does.

    A line does not tell a page's size: P stands for 2M and 1G. It is taken to be the one that
    the tables say, and where they say that there is no page, what would fit.
    """
    at = np.zeros(found.va.size, dtype=np.intp)
    there = np.zeros(found.va.size, dtype=np.bool_)
    if not va.size:
        return at, there
    would_be = (found.lvl == 3) & (found.entry & _PS != 0)
    for bits in (12, 21, 30):
        begin = found.va & ~np.uint64((1 << bits) - 1)
        line = np.minimum(np.searchsorted(va, begin), va.size - 1)
        fits = (va[line] == begin) & (flags[line] & _PS == (_PS if bits > 12 else np.uint64(0)))
        size = would_be if bits == 30 else ~would_be
        fits &= np.where(found.mapped, found.page_bits == bits, size)
        at[fits & ~there], there = line[fits & ~there], there | fits
    return at, there


def _letters(flags: int) -> str:
    return "".join(letter if flags >> bit & 1 else "-" for letter, bit in FLAGS.items())
