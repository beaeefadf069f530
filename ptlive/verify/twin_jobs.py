"""What the twin is asked: an address in every leaf and every hole, and where it should arrive.

In each frame that an access may reach, one word names the frame and another is
the home of writes. In a frame that is itself a page table both are entries that
are not in use, since the words are legal entries that are not present.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.memory.ram_map import Kind as Target
from ptlive.paging.format import Kind
from ptlive.paging.paths import Paths, holes, leaves
from ptlive.paging.translate import Translations

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool, Index
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace

FRAME = np.uint64(1 << 12)
WORD = np.uint64(8)
#: Leaves, and holes, that one twin is asked about.
LIMIT = 1 << 20
# Words of an ordinary frame: which does not matter, so long as they differ.
NAME, HOME = 0, 1


@dataclass(frozen=True, eq=False)
class Asked:
    """What there is to ask, a row for each leaf and hole; all columns of length n.

    translations: of the first byte of the 4K frame that is probed (their paths may
    be missing); name, home: offsets of the two words in the frame; reaches: whether
    an allowed access may be made, since it arrives in RAM that the twin may change
    left: how many leaves and holes there are beyond the limit
    tables: the frames of all tables, ascending
    """

    translations: Translations
    name: U64
    home: U64
    reaches: Bool
    tables: U64
    left: int

    def addresses(self, rows: Index, *, write: bool) -> U64:
        """Return the linear addresses to access: of the home for writes, else of the name."""
        word = self.home if write else self.name
        return self.translations.va[rows] + word[rows]

    def arrive(self, rows: Index, *, write: bool) -> U64:
        """Return where these accesses are expected to arrive."""
        word = self.home if write else self.name
        return self.translations.pa[rows] + word[rows]


def everything(space: AddressSpace, graph: Graph, seed: int) -> Asked:
    """Return all leaves and holes of a walk, up to the limit, as questions."""
    random = np.random.default_rng(seed)
    found = [*leaves(graph, LIMIT), *holes(graph, LIMIT)]
    paths = Paths.concatenate(found)
    span = paths.last_va - paths.va
    # A frame of the page, or of the hole; the address is that of the frame's first byte.
    frames = (span >> np.uint64(12)).astype(np.float64) + 1
    chosen = np.minimum((random.random(len(paths)) * frames).astype(np.uint64), span // FRAME)
    offset = chosen * FRAME
    leaf = paths.kind == Kind.LEAF
    pa = np.where(leaf, paths.pa + offset, np.uint64(0))
    translations = Translations(
        fmt=graph.fmt,
        va=paths.va + offset,
        kind=paths.kind,
        lvl=paths.lvl,
        entry=paths.entry,
        entry_pa=paths.entry_pa,
        rights=paths.rights,
        pa=pa,
        page_bits=np.zeros(len(paths), dtype=np.uint8),
        steps=[],
    )
    total = graph.reached(*Kind) - graph.reached(Kind.TABLE)
    words = np.full(len(paths), NAME), np.full(len(paths), HOME)
    return _asked(space, graph, translations, words, total - len(paths))


def exactly(space: AddressSpace, graph: Graph, va: U64) -> Asked:
    """Return these addresses, uint64[n], as questions: the words at and beside them."""
    in_frame = va & (FRAME - np.uint64(1))
    name = (in_frame // WORD).astype(np.intp)
    return _asked(space, graph, space.translate(va - in_frame), (name, name ^ 1), 0)


def _asked(
    space: AddressSpace,
    graph: Graph,
    translations: Translations,
    words: tuple[Index, Index],
    left: int,
) -> Asked:
    """Complete the questions: which frames are tables, and which of their words are free."""
    pa = translations.pa
    name, home = (column.astype(np.uint64) * WORD for column in words)
    reaches = translations.mapped & (space.ram_map.kind_of(pa) == Target.RAM)
    tables = np.unique(np.concatenate([f.nodes.table[f.readable] for f in graph.floors]))
    free, unused = _unused_entries(space, tables)
    table = np.minimum(np.searchsorted(tables, pa), tables.size - 1)
    is_table = translations.mapped & (tables[table] == pa)
    name[is_table] = unused[table[is_table], 0] * WORD
    home[is_table] = unused[table[is_table], 1] * WORD
    # The root's unused entries may be borrowed for the prober itself.
    reaches &= ~is_table | (free[table] & (pa != space.root[0]))
    return Asked(translations, name, home, reaches, tables, left)


def _unused_entries(space: AddressSpace, tables: U64) -> tuple[Bool, U64]:
    """Return which tables have two entries that are not present, and their indexes, [n, 2]."""
    data, valid = space.memory.read(tables, int(FRAME))
    absent = ~space.format.present(data.view("<u8").astype(np.uint64, copy=False))
    first = absent.argmax(axis=1)
    rows = np.arange(tables.size)
    several = absent.sum(axis=1) >= 2
    absent[rows, first] = False
    return valid & several, np.stack([first, absent.argmax(axis=1)], axis=1).astype(np.uint64)
