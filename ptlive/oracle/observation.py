"""A question to an oracle, and its answer."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptlive.access_kind import AccessKind


class Proof(enum.Enum):
    """How an access may show which frame it reached."""

    PLANT = "plant"  # a random value goes there first: RAM that nobody needs meanwhile
    COMPARE = "compare"  # what is there is left alone and compared: page tables, ROM
    NONE = "none"  # nothing there keeps a value


@dataclass(frozen=True)
class Probe:
    """One access to ask for.

    va: a multiple of 8 plus nothing, so that 8 bytes lie in one page, or, for
        an address that is only expected to fault, anything
    pa: where it is expected to arrive if it is allowed; None if nothing is mapped
    proof: how to show that it arrived there
    entries: physical addresses of the 8-byte entries on its path
    """

    va: int
    kind: AccessKind
    pa: int | None
    proof: Proof
    entries: tuple[int, ...]


@dataclass(frozen=True)
class Observation:
    """What an executed access did.

    unchecked: why it was not executed; then the rest means nothing
    vector: 0 if it happened, else of the exception; cr2: after a page fault
    frame: whether it reached the expected frame; None if that was not shown,
        and frame_unchecked says why
    entries: the path's entries afterwards, as the MMU left them
    """

    unchecked: str | None = None
    vector: int = 0
    error_code: int = 0
    cr2: int | None = None
    frame: bool | None = None
    frame_unchecked: str | None = None
    entries: tuple[int, ...] = ()
