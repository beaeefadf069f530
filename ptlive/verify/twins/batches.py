"""What is asked of one twin after the other, so that no twin is asked too much.

Each twin begins from the guest's RAM, so what one did is seen in that one alone.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES
from ptlive.paging.paths import Paths, holes, leaves
from ptlive.paging.translate import lookup
from ptlive.verify.twins.sharing import WHOLE, edges, thin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.arrays import U64
    from ptlive.paging.graph import Graph
    from ptlive.verify.twins.jobs import Asked, Jobs

#: Leaves and holes that one twin is asked about: some 100 MB of questions and answers.
BATCH = 1 << 18
#: Of more absent entries than these, not every kind of access is made to each.
MANY = 1 << 20
_FRAME = np.uint64(1 << 12)


class Batches:
    """Questions about everything that a walk found, and about addresses beside it.

    strays: uint64[n] addresses, multiples of 8, that are asked as well
    each_frame: whether each 4K frame inside larger pages is asked for

    total: how many leaves and holes, frames and other addresses there are to ask about
    shared: how many paths to leaves and holes are left out since so many are alike
    dealt: to how many absent entries some kinds of access are made, since there are so many
    """

    def __init__(
        self, jobs: Jobs, graph: Graph, seed: int, strays: U64, *, each_frame: bool = False
    ) -> None:
        self._jobs, self._graph, self._each_frame = jobs, graph, each_frame
        self._random = np.random.default_rng(seed)
        every = graph.reached(Kind.LEAF, *HOLES)
        self._thin = graph if every <= WHOLE else thin(graph)
        kept = self._thin.reached(Kind.LEAF, *HOLES)
        self.shared = every - kept
        absent = self._thin.reached(Kind.ABSENT)
        self.dealt = absent if absent > MANY else 0
        self._others = [(strays, "random addresses")]
        if self.shared:
            self._others.append((edges(graph, self._random), "edges of shared subtrees"))
        self.total = kept + sum(va.size for va, _ in self._others)
        if each_frame:
            self.total += sum(int(_frames(chunk).sum()) for chunk in leaves(self._thin))

    def __iter__(self) -> Iterator[tuple[list[Asked], int]]:
        """Yield the questions for one twin, and for how many of the total they stand."""
        parts: list[Asked] = []
        done = 0
        for va, what in self._others:
            for at in range(0, va.size, BATCH):
                if done >= BATCH:
                    yield parts, done
                    parts, done = [], 0
                piece = va[at : at + BATCH]
                parts += self._jobs.words(lookup(self._graph, piece), what)
                done += piece.size
        for chunk in itertools.chain(leaves(self._thin), holes(self._thin)):
            if done and done + len(chunk) > BATCH:
                yield parts, done
                parts, done = [], 0
            dealt = (chunk.kind == Kind.ABSENT) & (self.dealt > 0)
            parts += self._jobs.dealt(chunk.take(np.flatnonzero(dealt)))
            parts += self._jobs.entries(chunk.take(np.flatnonzero(~dealt)), self._random)
            # What is asked by few kinds takes little of a twin.
            done += len(chunk) - int(dealt.sum()) * 3 // 4
        yield parts, done
        if self._each_frame:
            for chunk in leaves(self._thin):
                yield from self._frames(chunk)

    def _frames(self, paths: Paths) -> Iterator[tuple[list[Asked], int]]:
        """Yield all 4K frames inside pages that are larger, so many at a time."""
        count = _frames(paths)
        ends = np.cumsum(count)
        total = int(ends[-1]) if ends.size else 0
        for first in range(0, total, BATCH):
            frame = np.arange(first, min(first + BATCH, total), dtype=np.uint64)
            row = np.searchsorted(ends, frame, side="right")
            offset = (frame - (ends - count)[row]) * _FRAME
            yield self._jobs.frames(paths.take(row), offset), frame.size


def _frames(paths: Paths) -> U64:
    """Return how many 4K frames each page has, 0 if it is one."""
    count = ((paths.last_va - paths.va) >> np.uint64(12)) + np.uint64(1)
    return np.where(count > 1, count, np.uint64(0))
