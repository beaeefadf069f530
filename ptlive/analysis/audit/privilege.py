"""What user mode can reach of the kernel's half, and what lies at address 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis import fold
from ptlive.analysis.audit.context import has_leaves
from ptlive.analysis.audit.finding import Place, Seen, Severity, Skipped
from ptlive.analysis.audit.places import members
from ptlive.paging import paths, rights
from ptlive.paging.fields import size_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.audit.context import Context


def user_kernel_half(context: Context) -> Iterator[Seen | Skipped]:
    """See pages of the upper half that user mode can read."""
    graph = context.granted(context.upper, "user")
    if not has_leaves(graph):
        return
    if context.profile is None:
        yield Seen(
            "user mode has access to pages of the upper half; the system is not known, and "
            "that this half is the kernel's is only a convention",
            graph,
            severity=Severity.MEDIUM,
        )
    else:
        yield Seen("user mode has access to pages of the kernel's half", graph)


def null_page(context: Context) -> Iterator[Seen | Skipped]:
    """See a page at address 0."""
    roots, tops = members(context.folded.roots), context.whole.tops
    seen: dict[bool, list[Place]] = {}
    for way in np.flatnonzero(tops.base == 0).tolist():
        alone = fold.part(context.whole, np.array([way]))
        for first in paths.leaves(alone, 1):
            if len(first) and not first.va[0]:
                folded, bits = int(first.rights[0]), int(first.bits[0])
                user = rights.names(context.fmt, folded)["user"]
                place = Place(
                    roots[int(tops.space[way])],
                    0,
                    int(first.last_va[0]),
                    int(first.pa[0]),
                    {size_name(bits): 1},
                    folded,
                    level=int(first.lvl[0]),
                    entry_pa=int(first.entry_pa[0]),
                    entry=int(first.entry[0]),
                )
                seen.setdefault(user, []).append(place)
    if places := seen.get(True):
        yield Seen("user mode has a page at address 0", places=tuple(places), count=len(places))
    if places := seen.get(False):
        yield Seen(
            "the page at address 0 is mapped, for the kernel alone",
            places=tuple(places),
            count=len(places),
            severity=Severity.INFO,
            why="an identity mapping, as firmware and the code that starts a CPU need it",
        )
