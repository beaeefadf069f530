"""What pages lie in, and how they are cached."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis import find
from ptlive.analysis.audit import memory_type
from ptlive.analysis.audit.context import has_leaves
from ptlive.analysis.audit.execution import frames
from ptlive.analysis.audit.finding import Seen, Severity, Skipped
from ptlive.analysis.find import Spans
from ptlive.paging.select import Leaves, leaves, only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.audit.context import Context
    from ptlive.arrays import U8, Bool
    from ptlive.paging.graph import Graph


def outside(context: Context) -> Iterator[Seen | Skipped]:
    """See pages where there is nothing: neither RAM nor ROM nor a device."""
    nothing = context.lies_in(context.whole, "nothing")
    for what, graph, severity in (
        ("user pages lie where no memory and no device is", context.granted(nothing, "user"), None),
        (
            "supervisor pages lie where no memory and no device is",
            context.granted(nothing, without=("user",)),
            Severity.LOW,
        ),
    ):
        if has_leaves(graph):
            yield Seen(what, graph, severity=severity)


def device_cached(context: Context) -> Iterator[Seen | Skipped]:
    """See registers of devices that accesses may find in a cache."""
    known = context.memory_types
    devices = context.lies_in(context.whole, "device")
    if known is None:
        graph = only(devices, lambda leaf: memory_type.leaf_index(leaf) == 0)
        if has_leaves(graph):
            yield Seen(
                "pages of devices have the PAT index 0, which is write-back unless the system "
                "changed IA32_PAT; neither that register nor the MTRRs, which may forbid it, "
                "are known",
                graph,
                severity=Severity.INFO,
            )
        return

    def cached(leaf: Leaves) -> Bool:
        allowed = np.isin(_types(known, leaf), memory_type.CACHEABLE)
        by_mtrr = known.by_mtrr(leaf.pa)
        if by_mtrr is not None:
            allowed &= np.isin(by_mtrr, memory_type.CACHEABLE)
        return allowed

    graph = only(devices, cached)
    if has_leaves(graph):
        also = "and the MTRRs allow it" if known.default is not None else "the MTRRs are not known"
        yield Seen(f"pages of devices are cacheable by IA32_PAT, {also}", graph)


def alias_types(context: Context) -> Iterator[Seen | Skipped]:
    """See frames that have one memory type by one address and another by another."""
    known = context.memory_types
    conflicts: list[Spans] = []
    pairs: list[str] = []
    kinds: dict[int, Spans] = {}
    there = _kinds_there(context)
    # Mostly all is of one kind.
    for kind in there if len(there) > 1 else ():
        kinds[kind] = frames(_of_kind(context, kind))
    for one, other in combinations(kinds, 2):
        if known is not None and {one, other} == {memory_type.UC, memory_type.UC_MINUS}:
            continue  # alike, unless an MTRR says WC (table 11-7)
        mine, theirs = find.pairs(kinds[one], kinds[other])
        if mine.size:
            low = np.maximum(kinds[one].first[mine], kinds[other].first[theirs])
            high = np.minimum(kinds[one].last[mine], kinds[other].last[theirs])
            conflicts.append(Spans(low, high))
            pairs.append(f"{_name(known, one)} and {_name(known, other)}")
    if not conflicts:
        return
    several = Spans(
        np.concatenate([one.first for one in conflicts]),
        np.concatenate([one.last for one in conflicts]),
    )
    graph = find.mapping(context.whole, several)
    evidence = {"types": ", ".join(pairs)}
    if known is None:
        yield Seen(
            "frames are mapped with different PAT indices; what memory types these are is not "
            "known, as IA32_PAT is not",
            graph,
            severity=Severity.INFO,
            evidence=evidence,
        )
    else:
        yield Seen("frames are mapped with different memory types", graph, evidence=evidence)


def _of_kind(context: Context, kind: int) -> Graph:
    """Return the leaves of one memory type, or one PAT index where the types are not known."""
    return only(context.whole, lambda leaf: _kind(context.memory_types, leaf) == kind)


def _kinds_there(context: Context) -> list[int]:
    count = np.zeros(8, dtype=np.intp)
    for floor in context.whole.floors:
        count += np.bincount(_kind(context.memory_types, leaves(floor)), minlength=8)
    return np.flatnonzero(count).tolist()


def _kind(known: memory_type.MemoryTypes | None, leaf: Leaves) -> U8:
    return memory_type.leaf_index(leaf) if known is None else _types(known, leaf)


def _types(known: memory_type.MemoryTypes, leaf: Leaves) -> U8:
    table = np.array([known.of_index(index) for index in range(8)], dtype=np.uint8)
    return table[memory_type.leaf_index(leaf)]


def _name(known: memory_type.MemoryTypes | None, kind: int) -> str:
    if known is None:
        return f"index {kind}"
    return memory_type.NAMES.get(kind, f"type {kind}")
