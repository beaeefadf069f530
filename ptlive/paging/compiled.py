"""Entries classified in one pass by compiled code, where numba is installed (ptlive[fast]).

Importing numba takes as long as numpy takes for some ten million entries. So a process
imports it when it has classified that many, or when it asks for it by `load`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U8, U64, Index

_WORTH = 1 << 26
_LEAF, _MALFORMED = int(Kind.LEAF), int(Kind.MALFORMED)


def classify(
    entries: U64,
    begin: int,
    present: tuple[Any, Any],
    leaf: tuple[Any, Any],
    reserved: tuple[Any, Any],
    other: int,
    edges: tuple[Index, U64, U8],
    rest: tuple[Index, U64],
) -> tuple[int, int]:
    """Write entries into columns of the present ones and of others that are not zero.

    entries: uint64[n], at positions `begin` and following; present, leaf: the mask and
    the value that tell; reserved: bits of a table and of a leaf; other: the kind of what
    is no leaf; edges, rest: columns with room for n each (position, entry, and of edges
    the kind). Returns how many were written into each.
    """
    present_mask, present_value = present
    leaf_mask, leaf_value = leaf
    reserved_table, reserved_leaf = reserved
    edge_position, edge_entry, edge_kind = edges
    rest_position, rest_entry = rest
    found = left = 0
    for at in range(entries.size):
        entry = entries[at]
        if entry & present_mask == present_value:
            kind, zero = other, reserved_table
            if entry & leaf_mask == leaf_value:
                kind, zero = _LEAF, reserved_leaf
            edge_position[found] = begin + at
            edge_entry[found] = entry
            edge_kind[found] = _MALFORMED if entry & zero else kind
            found += 1
        elif entry:
            rest_position[left] = begin + at
            rest_entry[left] = entry
            left += 1
    return found, left


class Compiler:
    """Compiles `classify`, as soon as that is worth it.

    function: the compiled function; None: numpy is to do it
    """

    def __init__(self) -> None:
        self.function: Callable[..., tuple[int, int]] | None = None
        self._classified = 0
        self._tried = False

    def load(self) -> bool:
        """Use compiled code from now on; return whether it can be had."""
        self._tried = True
        if self.function is None:
            try:
                numba = importlib.import_module("numba")
            except ImportError:
                return False
            self.function = numba.njit(cache=True, nogil=True)(classify)
        return True

    def unload(self) -> None:
        """Use numpy from now on, whatever is installed."""
        self.function, self._tried = None, True

    def after(self, entries: int) -> None:
        """Count entries that are to be classified."""
        self._classified += entries
        if self._classified > _WORTH and not self._tried:
            self.load()


compiler = Compiler()
load, unload = compiler.load, compiler.unload
