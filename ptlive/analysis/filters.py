"""Which leaves are wanted: by rights, size, what they lie in, fields, and frames.

A filter is applied to a walk's graph, where each leaf entry stands once however many
paths reach it; what is made of the graph is then exact for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.errors import PtliveError
from ptlive.paging import rights
from ptlive.paging.fields import size_name
from ptlive.paging.format import NEVER, Kind
from ptlive.paging.select import Leaves, only

if TYPE_CHECKING:
    from ptlive.analysis.regions.build import TargetOf
    from ptlive.arrays import Bool
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph


@dataclass(frozen=True)
class Filter:
    """Leaves must pass every test that is given; of several values of one, one is enough.

    granted, denied: names of rights, folded over the path
    sizes: in bits
    targets: codes of what the frames lie in
    fields: (name, value) of fields of the entry, all of which must be so; None: not 0
    frames: (first, last) physical addresses, of which a leaf maps at least one
    """

    granted: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    fields: tuple[tuple[str, int | None], ...] = ()
    frames: tuple[tuple[int, int], ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))


class Dropped(NamedTuple):
    """What a filter left out: distinct entries, and how often addresses reach them."""

    leaves: int
    reached: int


def filtered(graph: Graph, wanted: Filter, target: TargetOf) -> tuple[Graph, Dropped]:
    """Return the graph with only the leaves that are wanted, and how many were left out.

    target: says what pages lie in, as for `regions`

    Raises PtliveError for a right, field or size that the format does not have.
    """
    if not wanted:
        return graph, Dropped(0, 0)
    check(graph.fmt, wanted)
    some = only(graph, lambda leaves: passes(leaves, wanted, target))
    return some, Dropped(
        graph.leaves - some.leaves, graph.reached(Kind.LEAF) - some.reached(Kind.LEAF)
    )


def passes(leaves: Leaves, wanted: Filter, target: TargetOf) -> Bool:
    """Tell which leaves of a floor are wanted."""
    fmt, yes = leaves.floor.fmt, np.ones(leaves.edge.size, dtype=np.bool_)
    folded = leaves.rights
    for name in wanted.granted:
        yes &= rights.granted(fmt, folded, name)
    for name in wanted.denied:
        yes &= ~rights.granted(fmt, folded, name)
    if wanted.sizes:
        yes &= np.isin(leaves.bits, wanted.sizes)
    if wanted.targets:
        yes &= np.isin(target(leaves.pa, leaves.bits.astype(np.uint64)), wanted.targets)
    for name, value in wanted.fields:
        yes &= _has(leaves, name, value)
    if wanted.frames:
        some = np.zeros(yes.size, dtype=np.bool_)
        for first, last in wanted.frames:
            some |= (leaves.pa <= np.uint64(last)) & (leaves.last_pa >= np.uint64(first))
        yes &= some
    return yes


def check(fmt: Format, wanted: Filter) -> None:
    """Raise PtliveError for what the format does not have."""
    known = {right.name for right in fmt.rights}
    for name in (*wanted.granted, *wanted.denied):
        if name not in known:
            raise PtliveError(f"{fmt.name} has no right {name!r}, but {_list(known)}")
    widths = _widths(fmt)
    for name, value in wanted.fields:
        if name not in widths:
            raise PtliveError(f"leaves of {fmt.name} have no field {name!r}, but {_list(widths)}")
        if value is not None and value >> widths[name]:
            most = (1 << widths[name]) - 1
            raise PtliveError(f"{name} is at most {most}, and never {value}")
    sizes = {level.shift for level in fmt.levels if level.leaf != NEVER}
    # A format that groups entries says only with them how large its leaves are.
    if not any(level.leaf_bits for level in fmt.levels):
        for bits in wanted.sizes:
            if bits not in sizes:
                names = ", ".join(size_name(one) for one in sorted(sizes))
                raise PtliveError(f"{fmt.name} has no pages of {size_name(bits)}, but {names}")


def _has(leaves: Leaves, name: str, value: int | None) -> Bool:
    """Tell which leaves have a field of this value; None: of any but 0."""
    found = leaves.field(name)
    has: Bool = found != 0 if value is None else found == np.uint64(value)
    return has


def _widths(fmt: Format) -> dict[str, int]:
    """Return the fields that leaves have, and how many bits each is."""
    return {
        field.name: field.mask.bit_count()
        for level in fmt.levels
        for field in level.fields
        if field.leaves
    }


def _list(names: object) -> str:
    return ", ".join(sorted(map(str, names)))  # type: ignore[call-overload]  # a set or dict
