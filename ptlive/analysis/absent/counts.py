"""How many entries are not present, and why, by area: from a graph, without its paths.

What one path reaches has an address, and so an area. What several reach is one entry in
all of them: it is counted once, in their area if that is the same, else as `SEVERAL`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.analysis.areas import area_of
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.areas import Area
    from ptlive.analysis.profile import Profile
    from ptlive.arrays import U64, Bool, Index
    from ptlive.paging.graph import Floor, Graph

NO_AREA, SEVERAL = -1, -2


class AbsentCount(NamedTuple):
    """Entries of one level that say the same in one area.

    area: index of the profile's areas, NO_AREA or SEVERAL; entries: distinct ones;
    reached: how often addresses reach them; example: one of them
    """

    area: int
    lvl: int
    name: str
    entries: int
    reached: int
    example: int


class _Where(NamedTuple):
    """Where a floor's nodes are. base: for those that one path reaches; area: see above."""

    base: U64
    area: Index


def absent_counts(graph: Graph, profile: Profile) -> list[AbsentCount]:
    """Count the entries that are not present, by area, then from the root down."""
    tops, found = graph.tops, []
    if not graph.floors:
        return []
    first = graph.floors[0]
    where = _placed(first, tops.node, tops.base, _area(first, profile.areas, tops.node, tops.base))
    for depth, floor in enumerate(graph.floors):
        found += list(_of_floor(floor, where, profile))
        if depth + 1 < len(graph.floors):
            where = _below(floor, graph.floors[depth + 1], where, profile.areas)
    return sorted(found, key=lambda one: (one.area, -one.lvl, one.name))


def _area(floor: Floor, areas: tuple[Area, ...], node: Index, base: U64) -> Index:
    """Return the area in which nodes lie where they are reached, by these bases."""
    return _common(areas, base + floor.nodes.first[node], base + floor.nodes.last[node])


def _placed(floor: Floor, node: Index, base: U64, area: Index) -> _Where:
    """Place nodes that are reached at these bases, and there lie in these areas."""
    size = floor.nodes.table.size
    bases = np.zeros(size, dtype=np.uint64)
    bases[node] = base
    return _Where(bases, _agreed(size, node, area))


def _below(floor: Floor, below: Floor, where: _Where, areas: tuple[Area, ...]) -> _Where:
    """Place the nodes of the floor below."""
    child, node = floor.child[floor.down], floor.node[floor.down]
    base = where.base[node] + floor.offset(floor.down)
    # A parent without one address gives its area on.
    several = floor.nodes.paths[node] > 1
    area = np.where(several, where.area[node], _area(below, areas, child, base))
    return _placed(below, child, base, area)


def _common(areas: tuple[Area, ...], first: U64, last: U64) -> Index:
    """Return the area that a range lies in, SEVERAL if it is not in one."""
    if not areas:
        return np.full(first.size, NO_AREA, dtype=np.intp)
    edges = np.array([end for a in areas for end in (a.va, a.last_va)], dtype=np.uint64)
    begin = edges[::2]
    at, end = area_of(areas, first), area_of(areas, last)
    apart = at != end
    # Between two addresses in no area there may be one.
    between = np.searchsorted(begin, first, "right") != np.searchsorted(begin, last, "right")
    return np.where(apart | (between & (at < 0)), SEVERAL, at)


def _agreed(size: int, node: Index, area: Index) -> Index:
    """Return for each node the area that all agree on, else SEVERAL."""
    low = np.full(size, np.iinfo(np.intp).max, dtype=np.intp)
    high = np.full(size, np.iinfo(np.intp).min, dtype=np.intp)
    np.minimum.at(low, node, area)
    np.maximum.at(high, node, area)
    return np.where(low == high, low, SEVERAL)


def _of_floor(floor: Floor, where: _Where, profile: Profile) -> Iterator[AbsentCount]:
    """Count the entries of one floor."""
    once = floor.nodes.paths == 1
    kept = ~floor.fmt.present(floor.rest.entry)
    position, entry = floor.rest.position[kept], floor.rest.entry[kept]
    node = np.searchsorted(floor.start, position, "right") - 1
    zeros = floor.count((Kind.ABSENT,)) - np.bincount(node, minlength=once.size)
    # Only tables that lie in several areas are looked through.
    mixed = np.flatnonzero(once & (where.area == SEVERAL) & (zeros > 0))
    whole = np.flatnonzero((~once | (where.area != SEVERAL)) & (zeros > 0))
    at, _, owned = floor.select(mixed, (Kind.ABSENT,))
    owner = np.repeat(mixed, owned)
    empty = ~np.isin(at, position)
    at, owner = at[empty], owner[empty]
    rows = [
        (where.area[whole], np.zeros(whole.size, np.uint64), whole, zeros[whole]),
        (_areas(floor, profile, where, once, at, owner), at.astype(np.uint64) * 0, owner, None),
        (_areas(floor, profile, where, once, position, node), entry, node, None),
    ]
    area = np.concatenate([row[0] for row in rows])
    value = np.concatenate([row[1] for row in rows])
    nodes = np.concatenate([row[2] for row in rows])
    number = np.concatenate([np.ones(r[0].size, np.intp) if r[3] is None else r[3] for r in rows])
    kernel = _base(floor, where, nodes) >= np.uint64(profile.kernel_from)
    codes, names = profile.absent(floor.lvl, value, kernel)
    keys = np.stack([area, codes.astype(np.intp)])
    different, first, which = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    which = which.reshape(-1)
    for one in range(first.size):
        mine = which == one
        times = floor.nodes.paths[nodes[mine]]
        yield AbsentCount(
            int(different[0, one]),
            floor.lvl,
            names[int(different[1, one])],
            int(number[mine].sum()),
            _product(number[mine], times),
            int(value[first[one]]),
        )


def _areas(
    floor: Floor, profile: Profile, where: _Where, once: Bool, position: Index, node: Index
) -> Index:
    """Return the areas of entries at these positions."""
    va = where.base[node] + (floor.index_at(position, node) << floor.nodes.shift[node])
    return np.where(once[node], area_of(profile.areas, va), where.area[node])


def _base(floor: Floor, where: _Where, node: Index) -> U64:
    """Return an address in each node's range, one of several where there are several."""
    base: U64 = where.base[node] + floor.nodes.first[node]
    return base


def _product(count: Index, times: U64) -> int:
    """Return the sum of count times times, exactly."""
    different, which = np.unique(times, return_inverse=True)
    sums = np.zeros(different.size, dtype=np.intp)
    np.add.at(sums, which, count)
    return sum(a * b for a, b in zip(different.tolist(), sums.tolist(), strict=True))
