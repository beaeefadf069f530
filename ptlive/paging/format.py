"""A paging format as frozen data: geometry, bit meanings, names.

A format says everything that differs between page tables; the walker says
nothing of it. Small operations on arrays of entries stand where a mask is not
enough; they never loop over levels, read memory or walk.

Levels count from the leaf end: level 1 is the table of base pages.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U64, Bool

EntryOp: TypeAlias = "Callable[[U64], U64]"
EntryTest: TypeAlias = "Callable[[U64], Bool]"


def ones(low: int, high: int) -> int:
    """Return a mask of bits low to high-1."""
    return (1 << high) - (1 << low) if high > low else 0


class Kind(enum.IntEnum):
    """What an entry is. All but TABLE and LEAF are holes."""

    ABSENT = 0  # not present: translates nothing, whatever its other bits say
    TABLE = 1  # refers to a table of the level below
    LEAF = 2  # maps a page
    MALFORMED = 3  # present with a reserved bit set
    UNREADABLE = 4  # refers to a table that lies in no RAM and no ROM


@dataclass(frozen=True)
class Match:
    """Test whether the masked bits of an entry have one value."""

    mask: int
    value: int

    def __call__(self, entries: U64) -> Bool:
        """Return bool[n] for uint64[n]."""
        if not self.mask:
            return np.full(entries.shape, not self.value)
        matching: Bool = (entries & np.uint64(self.mask)) == np.uint64(self.value)
        return matching


ALWAYS = Match(0, 0)
NEVER = Match(0, 1)


@dataclass(frozen=True)
class AnyOf:
    """Test whether any of the masked bits of an entry is set."""

    mask: int

    def __call__(self, entries: U64) -> Bool:
        """Return bool[n] for uint64[n]."""
        some: Bool = (entries & np.uint64(self.mask)) != 0
        return some


@dataclass(frozen=True)
class Bits:
    """Take the masked bits of an entry, where they stand."""

    mask: int

    def __call__(self, entries: U64) -> U64:
        """Return uint64[n] for uint64[n]."""
        return entries & np.uint64(self.mask)


class Wrong(NamedTuple):
    """What no present entry may be, where reserved bits do not say it all.

    test: which entries are; why: to be read behind the name of an entry, such as "allows
    writing, but not reading"
    """

    test: EntryTest
    why: str


class Fold(enum.Enum):
    """How a right folds along the path from the root to the leaf."""

    AND = "and"  # every entry must grant it
    OR = "or"  # one entry that grants it is enough
    LEAF = "leaf"  # the leaf alone decides


@dataclass(frozen=True)
class Right:
    """One right: its bit in every entry, whether a set bit denies, how it folds."""

    name: str
    mask: int
    set_denies: bool = False
    fold: Fold = Fold.AND


class RightMasks(NamedTuple):
    """The bits of all rights: those that deny when set, and those of each way to fold."""

    invert: np.uint64
    every: np.uint64
    any: np.uint64
    leaf: np.uint64


@dataclass(frozen=True)
class Field:
    """A named group of bits of an entry.

    `tables` and `leaves` say in which of the two it exists. An attribute is
    part of what a page is (memory type, key), so pages that differ in it are
    not one region; bits that the MMU writes (A, D) are not.
    """

    name: str
    mask: int
    tables: bool = True
    leaves: bool = True
    attribute: bool = False

    @property
    def shift(self) -> int:
        """The field's lowest bit."""
        return (self.mask & -self.mask).bit_length() - 1

    def of(self, entry: int) -> int:
        """Return the field's value in `entry`, shifted down to bit 0."""
        return (entry & self.mask) >> self.shift

    def of_each(self, entries: U64) -> U64:
        """Return the field's value in each entry, uint64[n]."""
        value: U64 = (entries & np.uint64(self.mask)) >> np.uint64(self.shift)
        return value


@dataclass(frozen=True)
class Level:
    """One level of a format.

    spec, linux: its entries' names in the specification and in Linux
    shift: lowest linear-address bit of the index; one entry spans 2**shift bytes
    index_bits: width of the index, where the entry above does not say otherwise
    leaf: which present entries are leaves
    table_address, leaf_address: what a table entry and a leaf refer to
    reserved_table, reserved_leaf: bits that must be zero in a present entry
    entry: numpy dtype of one entry in memory
    table_bits: log2 of the number of entries of the table that an entry refers
        to, for formats that encode it
    leaf_bits: log2 of the bytes that a leaf maps, for formats that group
        neighbouring entries into one leaf
    granting: makes of entries what has their rights where the format's rights have
        their bits, for levels whose entries have them elsewhere, or lack some
    wrong: what else makes a present entry malformed
    """

    spec: str
    linux: str
    shift: int
    index_bits: int
    leaf: EntryTest
    table_address: EntryOp
    leaf_address: EntryOp
    reserved_table: int
    reserved_leaf: int
    fields: tuple[Field, ...] = ()
    entry: str = "<u8"
    table_bits: EntryOp | None = None
    leaf_bits: EntryOp | None = None
    granting: EntryOp | None = None
    wrong: tuple[Wrong, ...] = ()

    @cached_property
    def entry_size(self) -> int:
        """Bytes of one entry."""
        return np.dtype(self.entry).itemsize

    @property
    def span_bits(self) -> int:
        """log2 of the bytes that a whole table of this level spans."""
        return self.shift + self.index_bits

    def malformed(self, entries: U64, leaf: Bool) -> Bool:
        """Tell which of these present entries have a reserved bit set."""
        reserved: U64 | np.uint64 = np.uint64(self.reserved_leaf)
        if self.reserved_table != self.reserved_leaf:
            reserved = np.where(leaf, reserved, np.uint64(self.reserved_table))
        malformed: Bool = (entries & reserved) != 0
        for wrong in self.wrong:
            malformed |= wrong.test(entries)
        return malformed

    def rights(self, entries: U64) -> U64:
        """Return what has the rights of entries where the format's rights have their bits."""
        return self.granting(entries) if self.granting else entries


#: What is said behind an address that lies between two windows, which are halves.
CANONICAL = "is not canonical"


@dataclass(frozen=True)
class Window:
    """A range of linear addresses, ends included, that one of the roots translates."""

    va: int
    last_va: int
    root: int = 0


def halves(bits: int) -> tuple[Window, Window]:
    """Return the two ranges of addresses that are the sign extension of so many bits."""
    half = 1 << (bits - 1)
    return Window(0, half - 1), Window((1 << 64) - half, (1 << 64) - 1)


@dataclass(frozen=True, repr=False)
class Format:
    """A paging format: its levels from 1 upwards, its windows, its rights.

    windows: what is translated at all; for x86-64 the two canonical halves
    root_mask: the bits of a root register that are the root table's address
    present: which entries are; an entry of zeros never is
    outside: what is said behind an address that no window holds
    manual: whose names the levels have in `spec`, in short
    """

    name: str
    levels: tuple[Level, ...]
    windows: tuple[Window, ...]
    root_mask: int
    present: EntryTest
    rights: tuple[Right, ...]
    outside: str = CANONICAL
    manual: str = "SDM"

    def __repr__(self) -> str:
        return f"<Format {self.name}>"

    @property
    def top(self) -> int:
        """The level of the root table."""
        return len(self.levels)

    @property
    def roots(self) -> int:
        """How many roots an address space has."""
        return 1 + max(window.root for window in self.windows)

    @cached_property
    def address_bits(self) -> int:
        """How many bits the addresses have that the windows hold."""
        return max(window.last_va for window in self.windows).bit_length()

    def level(self, lvl: int) -> Level:
        """Return level `lvl`, 1 being the table of base pages."""
        return self.levels[lvl - 1]

    def right(self, name: str) -> Right:
        """Return the right of that name; KeyError if the format has none."""
        for right in self.rights:
            if right.name == name:
                return right
        raise KeyError(name)

    @cached_property
    def right_masks(self) -> RightMasks:
        """The bits of all rights together."""

        def union(chosen: list[Right]) -> np.uint64:
            return np.uint64(sum(right.mask for right in chosen))

        return RightMasks(
            union([r for r in self.rights if r.set_denies]),
            union([r for r in self.rights if r.fold is Fold.AND]),
            union([r for r in self.rights if r.fold is Fold.OR]),
            union([r for r in self.rights if r.fold is Fold.LEAF]),
        )

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """Names of all attribute fields, in the order in which levels declare them."""
        names = (f.name for level in self.levels for f in level.fields if f.attribute)
        return tuple(dict.fromkeys(names))
