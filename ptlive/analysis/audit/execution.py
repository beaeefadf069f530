"""What is executable should not be writable: not by this address, and not by another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis import find
from ptlive.analysis.audit.context import has_leaves
from ptlive.analysis.audit.finding import Seen, Severity, Skipped
from ptlive.analysis.find import Spans
from ptlive.paging.format import Kind
from ptlive.paging.select import Leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.audit.context import Context
    from ptlive.paging.graph import Graph


def supervisor(context: Context) -> Iterator[Seen | Skipped]:
    """See pages of the kernel that are writable and executable."""
    graph = context.granted(context.whole, "write", "execute", without=("user",))
    if has_leaves(graph):
        yield Seen("supervisor pages are writable and executable", graph)


def user(context: Context) -> Iterator[Seen | Skipped]:
    """See pages of user mode that are writable and executable."""
    graph = context.granted(context.whole, "write", "execute", "user")
    if has_leaves(graph):
        yield Seen("user pages are writable and executable", graph)


def kernel_text(context: Context) -> Iterator[Seen | Skipped]:
    """See writable mappings of what the kernel executes elsewhere."""
    code = frames(context.granted(context.whole, "execute", without=("user", "write")))
    for who, graph, severity in (
        ("user mode", context.granted(context.whole, "write", "user"), Severity.CRITICAL),
        ("the kernel", context.granted(context.whole, "write", without=("user",)), None),
    ):
        aliases = find.mapping(graph, code)
        if has_leaves(aliases):
            what = f"{who} has writable mappings of frames that the kernel executes elsewhere"
            yield Seen(what, aliases, severity=severity)


def user_text(context: Context) -> Iterator[Seen | Skipped]:
    """See what user mode executes at one address and may write at another."""
    code = frames(context.granted(context.whole, "execute", "user", without=("write",)))
    aliases = find.mapping(context.granted(context.whole, "write", "user"), code)
    if has_leaves(aliases):
        yield Seen("user mode has writable mappings of frames that it executes elsewhere", aliases)


def frames(graph: Graph) -> Spans:
    """Return the physical memory that the leaves of a walk map, merged."""
    parts = [Leaves(floor, np.flatnonzero(floor.kind == Kind.LEAF)) for floor in graph.floors]
    first = [leaf.pa for leaf in parts]
    last = [leaf.last_pa for leaf in parts]
    if not parts:
        none = np.zeros(0, dtype=np.uint64)
        return Spans(none, none)
    return Spans(np.concatenate(first), np.concatenate(last)).merged()
