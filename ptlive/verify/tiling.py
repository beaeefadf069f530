"""Nothing forgotten: leaves and holes, as a walk lists them, tile the canonical space.

Two checks, both of them arithmetic. `coverage`: each listed range ends where the next
begins, from the first address to the last. `census`: of each level, a second reader of
the tables (see `census`) finds as many ends of paths, at addresses of the same sum.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.report import Disagreement
from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES
from ptlive.paging.paths import holes, leaves
from ptlive.verify.twins.sharing import WHOLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.analysis.report import Report
    from ptlive.arrays import U64
    from ptlive.paging.graph import Floor, Graph
    from ptlive.verify.census import Count

ORACLE, ANSWERED_BY = "tiling", "reference"
TOLD = 100
_ONE = np.uint64(1)


def compare(
    report: Report,
    graph: Graph,
    ranges: tuple[U64, U64] | None,
    counts: Sequence[Count],
    reproduce: str,
) -> None:
    """Add both checks to a report.

    ranges: what the walk was over; with some, the census, which counts everything, is
    left out. counts: of the second reader; reproduce: a command that asks it all again
    """
    total = graph.reached(Kind.LEAF, *HOLES)
    sums: dict[int, int] | None = None
    if ranges is not None and ranges[0].size > 1:
        # Several ranges may touch one leaf, which then stands in the list several times.
        report.check(ORACLE, ANSWERED_BY, "coverage").unchecked["several ranges"] += total
    elif total <= WHOLE:
        va, last_va, sums = _listed(graph)
        _coverage(report, graph, ranges, va, last_va, total, reproduce)
    else:
        _sum_of_spans(report, graph, ranges, total, reproduce)
    if ranges is None:
        _census(report, graph, counts, sums, reproduce)


def _listed(graph: Graph) -> tuple[U64, U64, dict[int, int]]:
    """List leaves and holes; return their ranges, and of each level the sum of the first.

    The ranges ascend. Those that touch are joined; an overlap or a gap stays to be seen.
    """
    firsts, lasts = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint64)]
    sums: dict[int, int] = {}
    for chunk in itertools.chain(leaves(graph), holes(graph)):
        for lvl in np.flatnonzero(np.bincount(chunk.lvl)).tolist():
            here = int(chunk.va[chunk.lvl == lvl].sum(dtype=np.uint64))
            sums[lvl] = (sums.get(lvl, 0) + here) % (1 << 64)
        order = np.argsort(chunk.va, kind="stable")
        va, last_va = chunk.va[order], chunk.last_va[order]
        begins = np.ones(va.size, dtype=np.bool_)
        begins[1:] = va[1:] != last_va[:-1] + _ONE
        ends = np.ones(va.size, dtype=np.bool_)
        ends[:-1] = begins[1:]
        firsts.append(va[begins])
        lasts.append(last_va[ends])
    va, last_va = np.concatenate(firsts), np.concatenate(lasts)
    order = np.argsort(va, kind="stable")
    return va[order], last_va[order], sums


def _coverage(
    report: Report,
    graph: Graph,
    ranges: tuple[U64, U64] | None,
    va: U64,
    last_va: U64,
    total: int,
    reproduce: str,
) -> None:
    """Check that the listed ranges tile what was walked, with no gap and no overlap."""
    check = report.check(ORACLE, ANSWERED_BY, "coverage")
    wrong: list[tuple[int, str, str]] = []
    at = 0
    for first, last in _wanted(graph, ranges):
        expected = first
        end = int(np.searchsorted(va, np.uint64(last), side="right"))
        starts = va[at:end].astype(np.uint64)
        if starts.size:
            # Where all is well each begins one after the end of the one before.
            breaks = np.flatnonzero(starts[1:] != last_va[at : end - 1] + _ONE) + 1
            if int(starts[0]) > expected:
                breaks = np.concatenate([[0], breaks])
            for row in breaks.tolist():
                before = expected if row == 0 else (int(last_va[at + row - 1]) + 1)
                wrong.append(_break(before, int(starts[row])))
            expected = int(last_va[at:end].max()) + 1
        if expected <= last:
            wrong.append((expected, "a leaf or a hole", f"nothing up to {last:#x}"))
        at = end
    if at < va.size:
        wrong.append((int(va[at]), "no canonical address", "a leaf or a hole"))
    check.agreed += max(total - len(wrong), 0)
    check.disagreed += len(wrong)
    for where, predicted, observed in wrong[:TOLD]:
        _tell(report, "coverage", where, predicted, observed, reproduce)


def _break(expected: int, begins: int) -> tuple[int, str, str]:
    if begins < expected:
        return begins, f"the next range from {expected:#x} on", f"one from {begins:#x} on"
    return expected, "a leaf or a hole", f"nothing up to {begins - 1:#x}"


def _wanted(graph: Graph, ranges: tuple[U64, U64] | None) -> list[tuple[int, int]]:
    """Return what is to be tiled: the canonical halves, or what of them is in range."""
    half = 1 << 9 * graph.fmt.top + 11
    canonical = [(0, half - 1), ((1 << 64) - half, (1 << 64) - 1)]
    if ranges is None:
        return canonical
    return sorted(
        (max(int(first), low), min(int(last), high))
        for first, last in zip(*ranges, strict=True)
        for low, high in canonical
        if max(int(first), low) <= min(int(last), high)
    )


def _sum_of_spans(
    report: Report, graph: Graph, ranges: tuple[U64, U64] | None, total: int, reproduce: str
) -> None:
    """Check that what all paths span adds up to what was walked, in exact numbers."""
    check = report.check(ORACLE, ANSWERED_BY, "coverage")
    spans = sum(_ends(floor) << graph.fmt.level(floor.lvl).shift for floor in graph.floors)
    expected = sum(last - first + 1 for first, last in _wanted(graph, ranges))
    if ranges is not None:
        check.unchecked["too many paths to list them, in a part of the space"] += total
    elif spans == expected:
        check.agreed += total
    else:
        check.disagreed += 1
        _tell(report, "coverage", 0, f"{expected:#x} bytes", f"{spans:#x} bytes", reproduce)


def _ends(floor: Floor) -> int:
    """Return how many paths end at a floor."""
    count = np.diff(floor.start)
    count = count - np.bincount(floor.node[floor.kind == Kind.TABLE], minlength=count.size)
    return sum(int(paths) * int(n) for paths, n in zip(floor.nodes.paths, count, strict=True) if n)


def _census(
    report: Report,
    graph: Graph,
    counts: Sequence[Count],
    sums: dict[int, int] | None,
    reproduce: str,
) -> None:
    """Hold the ends of paths on each level against the second reader's.

    sums: of the addresses listed, by level, or None if they were too many to list
    """
    check = report.check(ORACLE, ANSWERED_BY, "census")
    found = {floor.lvl: _ends(floor) for floor in graph.floors}
    for one in counts:
        paths = found.get(one.lvl, 0)
        first = one.first if sums is None else sums.get(one.lvl, 0)
        if (paths, first) == (one.paths, one.first):
            check.agreed += one.paths
            continue
        check.disagreed += 1
        name = graph.fmt.level(one.lvl).spec
        words = f"{paths:,} paths end at {name}s, at addresses that add up to {first:#x}"
        seen = f"{one.paths:,}, {one.first:#x}"
        _tell(report, "census", 0, words, seen, reproduce)


def _tell(
    report: Report, aspect: str, va: int, predicted: str, observed: str, reproduce: str
) -> None:
    report.disagreements.append(
        Disagreement(
            va=va % (1 << 64),
            access=None,
            oracle=ORACLE,
            aspect=aspect,
            predicted=predicted,
            observed=observed,
            path=(),
            reproduce=reproduce,
        )
    )
