"""What a file holds of a guest, whatever kind of file it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ptlive.arrays import U64, Memory
    from ptlive.memory.ram_map import Region
    from ptlive.memory.snapshot.missing import Missing
    from ptlive.target.saved_state import SavedTypes


_ENTRY, _SHIFT = 8, np.uint64(12)


@dataclass(frozen=True)
class SavedCpu:
    """One vCPU; registers by the stub's names, as far as they are in the file.

    long_mode: whether it was in 64-bit mode, where something other than EFER tells
    """

    vcpu: int
    registers: Mapping[str, int]
    maxphyaddr: int | None = None
    gbpages: bool | None = None
    halted: bool | None = None
    pkru: int | None = None
    long_mode: bool | None = None


@dataclass(frozen=True)
class Saved:
    """The guest as the file has it; what: the kind of file.

    answers: of QEMU's monitor, by command; full: whether all of its RAM is there
    memory_types: of the first vCPU, if they are known
    """

    what: str
    cpus: tuple[SavedCpu, ...]
    regions: tuple[Region, ...]
    memory: Memory
    accelerator: str = "unknown"
    version: str = "unknown"
    was_running: bool | None = None
    full: bool = True
    memory_types: SavedTypes | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class FileNotes:
    """What is to be told of a guest that is read from a file, as (code, text).

    first: what is known when it is opened; missing: knows what else once it was read
    no_twin: why no twin can be made of it, "" if one can
    memory_types: PAT and MTRRs of the first vCPU, if they are known
    """

    first: tuple[tuple[str, str], ...]
    missing: Missing
    full: bool
    no_twin: str
    memory_types: SavedTypes | None = None

    def check_roots(self, memory: Memory, roots: U64) -> None:
        """Raise PtliveError for a root table that is not in the file; roots: uint64[n].

        memory: what the tables are read with. Of one that lies in no memory the walk tells.
        """
        memory.read(roots, _ENTRY)
        absent = roots[np.isin(roots >> _SHIFT, self.missing.frames)]
        if len(absent):
            raise PtliveError(
                f"the root table {int(absent[0]):#x} is not in the file"
                + (", which has the tables of other roots" if not self.full else "")
            )

    def late(self) -> tuple[tuple[str, str], ...]:
        """Return what is to be told once the memory was read."""
        count = len(self.missing.frames)
        if not count:
            return ()
        frames = "1 frame" if count == 1 else f"{count:,} frames"
        text = (
            f"{frames} of memory that the guest has, and that was asked for, "
            f"{'is' if count == 1 else 'are'} not in the file: a table there counts as unreadable"
        )
        if not self.full:
            text += " (ptlive snapshot --all-roots takes the tables of all roots, --full all RAM)"
        return (("not-in-file", text),)
