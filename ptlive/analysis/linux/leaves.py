"""The kernel's own mappings, as columns that can be searched for structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.paths import Paths, leaves
from ptlive.paging.select import only

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool
    from ptlive.paging.graph import Graph
    from ptlive.paging.select import Leaves


@dataclass(frozen=True, eq=False)
class KernelLeaves:
    """Leaves of the upper half that only the kernel may use, by address; uint64[n], bool[n].

    What several paths reach (a shadow, the espfix stacks) is left out: it may be
    astronomically much, and is never a map of RAM.
    """

    va: U64
    last_va: U64
    pa: U64
    writable: Bool
    executable: Bool

    def __len__(self) -> int:
        return self.va.size

    @property
    def size(self) -> U64:
        """Bytes of each, uint64[n]."""
        return self.last_va - self.va + np.uint64(1)

    def take(self, rows: Bool) -> KernelLeaves:
        """Return some of them."""
        return KernelLeaves(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def within(self, va: int, last_va: int) -> KernelLeaves:
        """Return those that begin in a range, ends included."""
        return self.take((self.va >= np.uint64(va)) & (self.va <= np.uint64(last_va)))


def kernel_leaves(graph: Graph) -> KernelLeaves:
    """Return the kernel's leaves of a walk of one root."""
    user = np.uint64(graph.fmt.right("user").mask)

    def wanted(some: Leaves) -> Bool:
        chosen: Bool = (some.paths == 1) & ((some.rights & user) == 0)
        return chosen

    parts = list(leaves(only(graph, wanted)))
    found = Paths.concatenate(parts) if parts else None
    if found is None:
        none, no = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.bool_)
        return KernelLeaves(none, none, none, no, no)
    upper = found.va >= np.uint64(graph.fmt.windows[-1].va)
    write, execute = (np.uint64(graph.fmt.right(name).mask) for name in ("write", "execute"))
    rights = found.rights[upper]
    return KernelLeaves(
        found.va[upper],
        found.last_va[upper],
        found.pa[upper],
        (rights & write) != 0,
        (rights & execute) != 0,
    )
