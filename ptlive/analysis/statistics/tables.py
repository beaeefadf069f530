"""What the tables of a walk cost, level by level: their memory, how full, how shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.paging import fields
from ptlive.paging.format import NEVER, Kind

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool, Index
    from ptlive.paging.graph import Floor, Graph


class Tables(NamedTuple):
    """Distinct tables of one level.

    bytes: of their memory; entries: that they have room for; used: those in range that are
        present, whether they are wanted as leaves or not
    empty, single, full: tables with none, one, or all of their entries used
    shared: tables that several paths reach; paths: by how many all are reached, where only
        parts of tables are in range by at least so many
    mergeable: tables whose leaves are as one larger page: it would need no table
    """

    lvl: int
    tables: int
    bytes: int
    entries: int
    used: int
    empty: int
    single: int
    full: int
    shared: int
    paths: int
    mergeable: int


def tables(graph: Graph, paths: list[U64]) -> list[Tables]:
    """Count the tables of nodes that are reached so often, from the root down."""
    return [_of_floor(floor, each) for floor, each in zip(graph.floors, paths, strict=True)]


def _of_floor(floor: Floor, paths: U64) -> Tables:
    nodes = floor.nodes
    here = np.flatnonzero(floor.readable & (paths > 0))
    size = floor.fmt.level(floor.lvl).entry_size
    # A table may stand in several nodes: with other rights above, or parts of it in range.
    table, first, which = np.unique(nodes.table[here], return_index=True, return_inverse=True)
    room = np.uint64(1) << nodes.bits[here[first]]
    number = np.full(nodes.table.size, -1, dtype=np.intp)
    number[here] = which
    position, node = _present(floor)
    position, node = (column[number[node] >= 0] for column in (position, node))
    if table.size < here.size:
        at = floor.entry_address(position, node)
        node = node[np.unique(at, return_index=True)[1]]
    used = np.bincount(number[node], minlength=table.size)
    often = _often(nodes.rights[here], which, paths[here], table.size)
    merged = np.zeros(table.size, dtype=np.bool_)
    merged[number[_mergeable(floor, here)]] = True
    return Tables(
        lvl=floor.lvl,
        tables=table.size,
        bytes=int(room.sum()) * size,
        entries=int(room.sum()),
        used=int(used.sum()),
        empty=int((used == 0).sum()),
        single=int((used == 1).sum()),
        full=int((used == room).sum()),
        shared=int((often > 1).sum()),
        paths=sum(often.tolist()),
        mergeable=int(merged.sum()),
    )


def _present(floor: Floor) -> tuple[Index, Index]:
    """Return position and node of all present entries, also of those that are no edges.

    They continue the leaf of the entry before, or are leaves that a filter left out.
    """
    rest = floor.rest.position[floor.fmt.present(floor.rest.entry)]
    if not rest.size:
        return floor.position, floor.node
    node = np.searchsorted(floor.start, rest, side="right") - 1
    return np.concatenate([floor.position, rest]), np.concatenate([floor.node, node])


def _often(rights: U64, table: Index, paths: U64, tables: int) -> U64:
    """Return by how many paths each table is reached.

    Its parts in range are parts of one path, as the two halves of a root table are.
    """
    key = table * np.unique(rights).size + np.unique(rights, return_inverse=True)[1]
    order = np.lexsort((paths, key))
    of = key[order]
    last = order[np.append(np.flatnonzero(of[1:] != of[:-1]), np.arange(of.size)[-1:])]
    often = np.zeros(tables, dtype=np.uint64)
    np.add.at(often, table[last], paths[last])
    return often


def _mergeable(floor: Floor, nodes: Index) -> Index:
    """Return those nodes whose leaves could be one page of the level above.

    All entries are leaves of equal rights and attributes, and map what follows each other
    from where such a page may begin.
    """
    fmt, lvl = floor.fmt, floor.lvl
    above = lvl + 1
    if above > fmt.top or fmt.level(above).leaf == NEVER or fmt.level(lvl).leaf_bits:
        return nodes[:0]
    if not nodes.size:
        return nodes
    count = np.diff(floor.first_edge)[nodes]
    whole = count == (np.int64(1) << floor.nodes.bits[nodes].astype(np.int64))
    found = []
    for bits in np.unique(floor.nodes.bits[nodes]).tolist():
        some = nodes[whole & (floor.nodes.bits[nodes] == bits)]
        if some.size:
            found.append(some[_as_one(floor, some, 1 << bits)])
    return np.concatenate(found) if found else nodes[:0]


def _as_one(floor: Floor, nodes: Index, entries: int) -> Bool:
    """Tell which full nodes, of so many entries each, map as one page would."""
    edge = floor.first_edge[nodes][:, None] + np.arange(entries)
    entry, lvl = floor.entry[edge], floor.lvl
    pa = floor.fmt.level(lvl).leaf_address(entry.reshape(-1)).reshape(entry.shape)
    packed = fields.pack_attributes(floor.fmt, lvl, entry.reshape(-1)).reshape(entry.shape)
    size = np.uint64(1) << floor.nodes.shift[nodes]
    alike: Bool = (floor.kind[edge] == Kind.LEAF).all(axis=1)
    alike &= pa[:, 0] & (size * np.uint64(entries) - np.uint64(1)) == 0
    alike &= (pa[:, 1:] - pa[:, :-1] == size[:, None]).all(axis=1)
    alike &= (packed == packed[:, :1]).all(axis=1)
    folded = floor.rights[edge]
    alike &= (folded == folded[:, :1]).all(axis=1)
    return alike
