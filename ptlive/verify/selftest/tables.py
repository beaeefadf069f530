"""Page tables in one state: what is needed to walk them, and the entries that are watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.oracle.twin.fork import FRAME

if TYPE_CHECKING:
    from ptlive.arrays import U64, Memory
    from ptlive.memory.ram_map import RamMap

#: In a frame that is accessed the word at NAME names it, and the one at HOME is where
#: writes arrive. In a page table of a bench, the entries there stay unused.
NAME, HOME = FRAME - 16, FRAME - 8


@dataclass(frozen=True, eq=False)
class Tables:
    """Page tables, of a bench or of a guest.

    memory: with the tables; root: physical address of the root table
    address, value: uint64[n], the entries that the MMU's marks are looked for in, as
    they are before each kind of access; spared: frames, ascending, that may be neither
    written nor executed
    """

    levels: int
    memory: Memory
    ram_map: RamMap
    root: int
    address: U64
    value: U64
    spared: U64
