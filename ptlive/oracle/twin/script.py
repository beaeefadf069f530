"""What a twin is to do: steps, in order, as plain data; and what comes of it.

All of a step's addresses are numpy uint64, physical ones for memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ptlive.access_kind import Access
from ptlive.oracle.twin.paint import NO_FRAME, named, returned

if TYPE_CHECKING:
    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U8, U32, U64, Bool
    from ptlive.oracle.twin.fork import Control

PAGE_FAULT = 14
# Home of a write that is not expected to arrive anywhere.
NO_HOME = NO_FRAME
# A write stores its token: bit 0 is clear, so that it is an absent entry in a table.
_TOKENS = 0x7074 << 48


@dataclass(frozen=True)
class SetControl:
    """From here on, page like this (the number of levels stays)."""

    control: Control


@dataclass(frozen=True)
class Poke:
    """Write 8-byte words at addresses of RAM."""

    addresses: U64
    words: U64


@dataclass(frozen=True)
class Peek:
    """Read 8-byte words at addresses of RAM."""

    addresses: U64


@dataclass(frozen=True)
class CopyFrames:
    """Read whole frames of 4K, such as page tables."""

    addresses: U64


@dataclass(frozen=True)
class Probe:
    """Make an access at each virtual address, with an empty TLB at the beginning.

    An access reads or writes 8 bytes, or executes one instruction. homes: for
    writes, the physical address where each is expected to arrive, or NO_HOME.
    """

    kind: AccessKind
    addresses: U64
    homes: U64 | None = None


Step: TypeAlias = SetControl | Poke | Peek | CopyFrames | Probe


def tokens(first: int, count: int) -> U64:
    """Return what `count` writes store, the first of which is number `first` of all."""
    return np.arange(first, first + count, dtype=np.uint64) * np.uint64(2) + np.uint64(_TOKENS)


@dataclass(frozen=True)
class Answers:
    """What the accesses of one Probe did, an element each.

    vector: 0 if the access happened, else of the exception; error_code: in full
    value: after a page fault CR2, else what was read, or the number that a painted
        frame returned, or what a write's home holds afterwards
    token: what each write stored, 0 for other kinds
    """

    kind: AccessKind
    vector: U8
    error_code: U32
    value: U64
    token: U64

    def part(self, rows: slice) -> Answers:
        """Return the answers of some of the accesses."""
        return Answers(
            kind=self.kind,
            vector=self.vector[rows],
            error_code=self.error_code[rows],
            value=self.value[rows],
            token=self.token[rows],
        )

    @property
    def allowed(self) -> Bool:
        """Whether the access happened."""
        return np.equal(self.vector, 0)

    @property
    def cr2(self) -> U64:
        """The faulting address after a page fault, else 0."""
        return np.where(self.vector == PAGE_FAULT, self.value, np.uint64(0))

    @property
    def frame(self) -> U64:
        """Where a read or fetch arrived: the frame's address; NO_FRAME if nothing says so."""
        if self.kind.access is Access.WRITE:
            return np.full(len(self.value), NO_FRAME)
        decode = named if self.kind.access is Access.READ else returned
        return np.where(self.allowed, decode(self.value), NO_FRAME)

    @property
    def landed(self) -> Bool:
        """Whether a write arrived at its home."""
        return self.allowed & np.equal(self.value, self.token)


@dataclass
class Outcome:
    """What came of a script, each list in the order of the steps that ask for it.

    words: of each Peek, uint64[n]; frames: of each CopyFrames, uint64[n, 512]
    seconds: how long the twin lived
    """

    answers: list[Answers] = field(default_factory=list)
    words: list[U64] = field(default_factory=list)
    frames: list[U64] = field(default_factory=list)
    seconds: float = 0.0
