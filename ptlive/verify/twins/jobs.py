"""What the twin is asked: which words of every leaf and every hole, and where they lie.

In each frame that an access may reach, one word names the frame and another is
the home of writes. In a frame that is itself a page table both are entries that
are not in use, since the words are legal entries that are not present. Elsewhere
they are two neighbours, the outer of which names: so no word is ever both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS, Access
from ptlive.memory.ram_map import Kind as Target
from ptlive.paging.format import Kind
from ptlive.paging.translate import Translations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U64, Bool, Index
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph
    from ptlive.paging.paths import Paths
    from ptlive.space import AddressSpace

FRAME = np.uint64(1 << 12)
WORD = np.uint64(8)
_IN_FRAME = FRAME - np.uint64(1)
_WORDS = 512


@dataclass(frozen=True, eq=False)
class Asked:
    """Addresses to ask about, a row each; all columns of length n.

    translations: of the first byte of the 4K frame that is probed (their paths may
    be missing); name, home: offsets of the two words in the frame; reaches: whether
    an allowed access may be made, since it arrives in RAM that the twin may change
    kinds: of access, that are made to each of them; what: they are, in words
    """

    translations: Translations
    name: U64
    home: U64
    reaches: Bool
    kinds: tuple[AccessKind, ...]
    what: str

    def addresses(self, rows: Index, *, write: bool) -> U64:
        """Return the linear addresses to access: of the home for writes, else of the name."""
        word = self.home if write else self.name
        return self.translations.va[rows] + word[rows]

    def arrive(self, rows: Index, *, write: bool) -> U64:
        """Return where these accesses are expected to arrive."""
        word = self.home if write else self.name
        return self.translations.pa[rows] + word[rows]


class Jobs:
    """Makes questions of what a walk found.

    kinds: of access, to ask for
    tables: uint64[n], ascending: the frames of all tables of the walk
    """

    def __init__(self, space: AddressSpace, graph: Graph, kinds: Sequence[AccessKind]) -> None:
        self._space, self._kinds = space, tuple(kinds)
        tables = [floor.nodes.table[floor.readable] for floor in graph.floors]
        self.tables = np.unique(np.concatenate([*tables, space.root]))
        data, self._valid = space.memory.read(self.tables, int(FRAME))
        self._absent = ~space.format.present(data.view("<u8").astype(np.uint64, copy=False))
        rows, first = np.arange(self.tables.size), self._absent.argmax(axis=1)
        others = self._absent.copy()
        others[rows, first] = False
        self._unused = np.stack([first, others.argmax(axis=1)], axis=1)
        self._several = others.any(axis=1) & self._valid

    def entries(self, paths: Paths, random: np.random.Generator) -> list[Asked]:
        """Return the first and the last word of each leaf and hole, and one inside.

        With all kinds of access some ask for the first word and some for the last; with
        fewer, each asks for both. Inside means: in a frame that is neither the first nor
        the last one. What happens there is asked of leaves; of a hole, whether it is one.
        """
        last = (paths.last_va - paths.va) & ~_IN_FRAME
        some = len(self._kinds) < len(ACCESS_KINDS)
        at_end = tuple(k for k in self._kinds if some or _asks_for_the_last(k))
        at_start = tuple(k for k in self._kinds if some or not _asks_for_the_last(k))
        found = [
            self._part(paths, last * np.uint64(0), 0, at_start, "first words"),
            self._part(paths, last, _WORDS - 1, at_end, "last words"),
        ]
        large = last > FRAME
        leaf = paths.kind == Kind.LEAF
        for rows, kinds in ((large & leaf, self._kinds), (large & ~leaf, self._kinds[:1])):
            inside = paths.take(np.flatnonzero(rows))
            frames = (last[rows] >> np.uint64(12)).astype(np.float64) - 1
            offset = FRAME + (random.random(frames.size) * frames).astype(np.uint64) * FRAME
            # So large a hole has more frames than a float64 tells apart.
            offset = np.minimum(offset, last[rows] - FRAME)
            found.append(self._part(inside, offset, 0, kinds, "inside"))
        return [one for one in found if one.translations.va.size]

    def dealt(self, holes: Paths) -> list[Asked]:
        """Return the first and the last word of each hole, by one kind of access each in turn."""
        last = (holes.last_va - holes.va) & ~_IN_FRAME
        at_end = tuple(k for k in self._kinds if _asks_for_the_last(k)) or self._kinds
        at_start = tuple(k for k in self._kinds if not _asks_for_the_last(k)) or self._kinds
        found = []
        turns = len(at_start) * len(at_end)
        for turn in range(turns):
            some, end = holes.take(np.arange(turn, len(holes), turns)), last[turn::turns]
            first = (at_start[turn % len(at_start)],)
            # Every pair of the two comes up.
            other = (at_end[turn // len(at_start)],)
            found.append(self._part(some, end * np.uint64(0), 0, first, "first words"))
            found.append(self._part(some, end, _WORDS - 1, other, "last words"))
        return [one for one in found if one.translations.va.size]

    def frames(self, paths: Paths, offset: U64) -> list[Asked]:
        """Return one 4K frame of each of these leaves, at an offset in bytes, as questions."""
        return [self._part(paths, offset, 0, self._kinds, "frames inside")]

    def words(self, translations: Translations, what: str) -> list[Asked]:
        """Return questions about the words at these addresses, or about those beside them."""
        va = translations.va
        word = (va & _IN_FRAME) // WORD
        # The outer of two neighbours names: in the first half of a frame that is the even one.
        name = word & ~np.uint64(1) | word >> np.uint64(8)
        return [self._at(translations, name, name ^ np.uint64(1), self._kinds, what)]

    def exactly(self, translations: Translations) -> list[list[Asked]]:
        """Return questions about the words at these very addresses, for one twin after the other.

        What is written no longer names its frame, so one twin reads and another writes.
        """
        word = (translations.va & _IN_FRAME) // WORD
        reads = tuple(k for k in self._kinds if k.access is not Access.WRITE)
        writes = tuple(k for k in self._kinds if k.access is Access.WRITE)
        return [
            # They are the same addresses, and counted once.
            [self._at(translations, word, word, kinds, "" if first else "addresses given")]
            for first, kinds in enumerate(kinds for kinds in (reads, writes) if kinds)
        ]

    def _part(
        self, paths: Paths, offset: U64, word: int, kinds: tuple[AccessKind, ...], what: str
    ) -> Asked:
        leaf = paths.kind == Kind.LEAF
        pa = np.where(leaf, paths.pa + offset, np.uint64(0))
        translations = _translations(self._space.format, paths, paths.va + offset, pa)
        name = np.full(len(paths), word, dtype=np.uint64)
        return self._complete(translations, name, name ^ np.uint64(1), kinds, what)

    def _at(
        self,
        found: Translations,
        name: U64,
        home: U64,
        kinds: tuple[AccessKind, ...],
        what: str,
    ) -> Asked:
        in_frame = found.va & _IN_FRAME
        pa = np.where(found.mapped, found.pa - in_frame, np.uint64(0))
        translations = Translations(
            fmt=found.fmt,
            va=found.va - in_frame,
            kind=found.kind,
            lvl=found.lvl,
            entry=found.entry,
            entry_pa=found.entry_pa,
            rights=found.rights,
            pa=pa,
            page_bits=found.page_bits,
            steps=[],
        )
        return self._complete(translations, name, home, kinds, what)

    def _complete(
        self,
        translations: Translations,
        name: U64,
        home: U64,
        kinds: tuple[AccessKind, ...],
        what: str,
    ) -> Asked:
        """Complete questions: which frames are tables, and which of their words are free."""
        pa = translations.pa
        reaches = translations.mapped & (self._space.ram_map.kind_of(pa) == Target.RAM)
        table = np.minimum(np.searchsorted(self.tables, pa), self.tables.size - 1)
        is_table = translations.mapped & (self.tables[table] == pa)
        rows = np.flatnonzero(is_table)
        at = table[rows]
        name, home = name.copy(), home.copy()
        alone = bool((name == home).all())  # then an unused entry that was asked for stays
        for words, unused in ((name, 0), (home, 0 if alone else 1)):
            wanted = words[rows].astype(np.intp)
            kept = self._absent[at, wanted] if alone else np.zeros(rows.size, dtype=np.bool_)
            words[rows] = np.where(kept, wanted, self._unused[at, unused])
        # The root's unused entries may be borrowed for the prober itself.
        reaches &= ~is_table | (self._several[table] & (pa != self._space.root[0]))
        return Asked(translations, name * WORD, home * WORD, reaches, kinds, what)


def _asks_for_the_last(kind: AccessKind) -> bool:
    """Deal the kinds so that pages of both modes are read and written at either end."""
    return kind.ac or (kind.user and kind.access is Access.WRITE)


def _translations(fmt: Format, paths: Paths, va: U64, pa: U64) -> Translations:
    return Translations(
        fmt=fmt,
        va=va,
        kind=paths.kind,
        lvl=paths.lvl,
        entry=paths.entry,
        entry_pa=paths.entry_pa,
        rights=paths.rights,
        pa=pa,
        page_bits=np.zeros(va.size, dtype=np.uint8),
        steps=[],
    )
