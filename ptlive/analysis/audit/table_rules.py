"""Tables themselves: who can write them, and entries that no table should have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis import find
from ptlive.analysis.audit.context import has_leaves
from ptlive.analysis.audit.finding import Place, Seen, Severity, Skipped
from ptlive.analysis.audit.places import entries
from ptlive.analysis.tables import at_several_levels
from ptlive.paging import fields
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.audit.context import Context

# Single entries that are told of one finding; the rest is counted.
SHOWN = 1000


def user(context: Context) -> Iterator[Seen | Skipped]:
    """See tables that user mode can read or write."""
    reaching = context.granted(find.mapping(context.whole, context.frames), "user")
    for what, graph, severity in (
        ("user mode can write page tables", context.granted(reaching, "write"), None),
        (
            "user mode can read page tables",
            context.granted(reaching, "user", without=("write",)),
            Severity.HIGH,
        ),
    ):
        if has_leaves(graph):
            count = int((find.counts(graph, context.frames) > 0).sum())
            evidence = {"tables": f"{count} of {context.tables.pa.size}"}
            yield Seen(what, graph, severity=severity, evidence=evidence)


def supervisor(context: Context) -> Iterator[Seen | Skipped]:
    """See tables that the kernel can write, which each kernel does somehow."""
    reaching = find.mapping(context.whole, context.frames)
    graph = context.granted(reaching, "write", without=("user",))
    if has_leaves(graph):
        count = int((find.counts(graph, context.frames) > 0).sum())
        yield Seen(
            "the kernel has writable mappings of page tables",
            graph,
            why="a system writes its tables through some mapping; whoever writes to the "
            "kernel's memory at will can so change what is mapped",
            evidence={"tables": f"{count} of {context.tables.pa.size}"},
        )


def several_levels(context: Context) -> Iterator[Seen | Skipped]:
    """See frames that are tables of more than one level, as self-mapping root tables are."""
    frames = at_several_levels(context.tables)
    if not frames:
        return
    known = context.tables
    places = []
    for pa in frames[:SHOWN]:
        here = known.pa == np.uint64(pa)
        roots = np.flatnonzero(known.roots[here].any(axis=0)).tolist()
        places.append(Place(tuple(roots), pa=pa, target="table"))
    itself = not {root.address for root in context.roots}.isdisjoint(frames)
    yield Seen(
        "a frame is a table at more than one level",
        places=tuple(places),
        count=len(frames),
        severity=Severity.INFO if itself else None,
        why="a root table refers to itself, so that its tables have addresses" if itself else None,
    )


def reserved(context: Context) -> Iterator[Seen | Skipped]:
    """See present entries with a reserved bit set."""
    count = context.whole.reached(Kind.MALFORMED)
    if count:
        places = entries(context, Kind.MALFORMED, SHOWN)
        bits = {
            bit
            for one in places
            for bit in fields.reserved_bits(context.fmt, one.level or 1, one.entry or 0)
        }
        yield Seen(
            "present entries have reserved bits set: an access gets #PF with RSVD",
            places=tuple(places),
            count=count,
            evidence={"bits": " ".join(map(str, sorted(bits)))},
        )


def unreadable(context: Context) -> Iterator[Seen | Skipped]:
    """See entries whose table lies in no memory."""
    count = context.whole.reached(Kind.UNREADABLE)
    if count:
        places = entries(context, Kind.UNREADABLE, SHOWN)
        what = "entries refer to tables outside of RAM and ROM"
        yield Seen(what, places=tuple(places), count=count)
