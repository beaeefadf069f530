"""A script as the prober reads it: rows of steps, and arrays, in the extra RAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.oracle.twin import fork as registers
from ptlive.oracle.twin import window
from ptlive.oracle.twin.borrow import base, root_index
from ptlive.oracle.twin.fork import ENTRIES
from ptlive.oracle.twin.script import (
    NO_HOME,
    Answers,
    CopyFrames,
    Outcome,
    Peek,
    Poke,
    Probe,
    SetControl,
    tokens,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.arrays import U8, U64, Index
    from ptlive.oracle.twin.borrow import Borrowed
    from ptlive.oracle.twin.fork import Control, Fork
    from ptlive.oracle.twin.prober import Prober
    from ptlive.oracle.twin.script import Step

_RFLAGS_ONE, _RFLAGS_AC = 1 << 1, 1 << 18
_CR0 = 1 << 31 | 1 << 4 | 1  # PG, ET, PE
_EFER = 1 << 10 | 1 << 8 | 1  # LMA, LME, SCE
_CR4 = registers.CR4_PGE | registers.CR4_LA57
_CR4 |= registers.CR4_SMEP | registers.CR4_SMAP | registers.CR4_PKE


class Encoder:
    """Lays a script out in the extra RAM, which is to be `size` bytes.

    `fill` writes it there, `outcome` reads the results when the twin has ended.
    Raises PtliveError for a script that touches what is not the guest's RAM, or
    that is too long.
    """

    def __init__(
        self, prober: Prober, fork: Fork, borrowed: Borrowed, script: Sequence[Step]
    ) -> None:
        self._prober, self._fork, self._borrowed = prober, fork, borrowed
        self.slot = borrowed.slots[0]
        self.extra = window.extra_base(fork)
        self.size = prober["FREE"]
        self._arrays: list[tuple[int, U64]] = []
        self._rows: list[list[int]] = []
        self._collect: list[Callable[[U8, Outcome], None]] = []
        self._writes = 0
        tables = window.page_tables(prober, fork, self.extra + self.size)
        self.entry = self._put(tables.reshape(-1)) | window.TABLE
        self._scratch = self._reserve(8)
        self._settle(0)
        self._control(fork.control)
        for step in script:
            self._encode(step)
        self._row("END")
        self._first = self._put(np.array(self._rows, dtype=np.uint64).reshape(-1))

    def fill(self, memory: U8) -> None:
        """Write the script into the extra RAM."""
        for offset, array in self._arrays:
            memory[offset : offset + array.nbytes].view(np.uint64)[:] = array
        at = self._prober["STATE"] + self._prober["STATE_STEP"]
        memory[at : at + 8].view(np.uint64)[0] = self._first

    def outcome(self, memory: U8) -> Outcome:
        """Read what the prober left in the extra RAM."""
        outcome = Outcome()
        for collect in self._collect:
            collect(memory, outcome)
        return outcome

    def _reserve(self, length: int) -> int:
        """Return the physical address of `length` bytes of the extra RAM."""
        at = self.size
        self.size += -(-length // 8) * 8
        if self.size > window.EXTRA_LIMIT:
            raise PtliveError(
                f"{self.size >> 20} MB and more are too much for one twin: ask for fewer accesses "
                "at a time"
            )
        return self.extra + at

    def _put(self, array: U64) -> int:
        """Return the physical address at which an array will lie."""
        at = self._reserve(array.nbytes)  # before it is copied
        self._arrays.append((at - self.extra, np.ascontiguousarray(array)))
        return at

    def _row(self, code: str, count: int = 0, **arguments: int) -> None:
        place = self._prober.step_fields
        row = [0] * len(place)
        row[place["CODE"]] = self._prober[f"CODE_{code}"]
        row[place["COUNT"]] = count
        for name, value in arguments.items():
            row[place[name]] = value
        self._rows.append(row)

    def _encode(self, step: Step) -> None:
        if isinstance(step, SetControl):
            if step.control.levels != self._fork.control.levels:
                raise PtliveError("a twin does not change the number of levels: fork another one")
            self._control(step.control)
        elif isinstance(step, Poke):
            self._check(step.addresses, "written")
            self._poke(step.addresses, step.words)
        elif isinstance(step, Peek):
            self._look("PEEK", step.addresses, 1)
        elif isinstance(step, CopyFrames):
            self._look("COPY", step.addresses, ENTRIES)
        else:
            self._probe(step)

    def _check(self, addresses: U64, what: str) -> None:
        wrong = addresses[~self._fork.in_ram(addresses)]
        if len(wrong):
            raise PtliveError(f"{wrong[0]:#x} cannot be {what}: it lies outside the guest's RAM")

    def _control(self, control: Control) -> None:
        self._row(
            "CONTROL",
            A=_CR0 | control.cr0 & registers.CR0_WP,
            B=registers.CR4_PAE | control.cr4 & _CR4,
            C=_EFER | control.efer & registers.EFER_NXE,
            D=control.pkru,
        )

    def _poke(self, addresses: U64, words: U64) -> None:
        self._row("POKE", len(addresses), A=self._put(addresses), B=self._put(words))

    def _root_entry(self, which: int) -> int:
        """Return the physical address of a borrowed entry."""
        return self._fork.root_frame + 8 * self._borrowed.slots[which]

    def _settle(self, which: int) -> None:
        """Move the prober below one of the borrowed entries."""
        self._poke(u64(self._root_entry(which)), u64(self.entry))
        # PCID, PWT and PCD do not matter to translation, and CR4.PCIDE is 0 here.
        root = self._fork.root_frame
        self._row("SETTLE", A=base(self._borrowed.slots[which], self._levels), B=root)

    def _move(self, which: int) -> None:
        """Settle below the other borrowed entry, and give this one back."""
        self._settle(which)
        left = 1 - which
        self._poke(u64(self._root_entry(left)), u64(self._borrowed.original[left]))

    @property
    def _levels(self) -> int:
        return self._fork.control.levels

    def _look(self, code: str, addresses: U64, words: int) -> None:
        """Read `words` words at each address; the borrowed entry is shown as the guest has it."""
        out = self._reserve(8 * words * len(addresses)) - self.extra
        self._check(addresses, "read")
        self._row(code, len(addresses), A=self._put(addresses), B=self.extra + out)
        hidden = np.uint64(self._root_entry(0)) - addresses

        def collect(memory: U8, outcome: Outcome) -> None:
            found = memory[out : out + 8 * words * len(addresses)].view(np.uint64)
            found = found.reshape(-1, words).copy()
            for row in np.flatnonzero(hidden < np.uint64(8 * words)):
                found[row, int(hidden[row]) // 8] = self._borrowed.original[0]
            if words == 1:
                outcome.words.append(found[:, 0])
            else:
                outcome.frames.append(found)

        self._collect.append(collect)

    def _probe(self, step: Probe) -> None:
        """Make the accesses, those below the borrowed entry from below the other one."""
        homes = step.homes
        if homes is not None:
            self._check(homes[homes != NO_HOME], "a write's home")
        ours = root_index(step.addresses, self._levels) == self._borrowed.slots[0]
        parts: list[tuple[slice | Index, int, U64]] = []
        if ours.any():
            self._accesses(step, np.flatnonzero(~ours), parts)
            self._move(1)
            self._accesses(step, np.flatnonzero(ours), parts)
            self._move(0)
        else:
            self._accesses(step, slice(None), parts)
        dtype = self._prober.answer

        def collect(memory: U8, outcome: Outcome) -> None:
            found = np.empty(len(step.addresses), dtype=dtype)
            stored = np.zeros(len(step.addresses), dtype=np.uint64)
            for rows, at, written in parts:
                count = len(step.addresses[rows])
                found[rows] = memory[at : at + dtype.itemsize * count].view(dtype)
                stored[rows] = written
            outcome.answers.append(
                Answers(
                    kind=step.kind,
                    vector=found["vector"].astype(np.uint8),
                    error_code=found["error_code"].copy(),
                    value=found["value"].copy(),
                    token=stored,
                )
            )

        self._collect.append(collect)

    def _accesses(
        self, step: Probe, rows: slice | Index, parts: list[tuple[slice | Index, int, U64]]
    ) -> None:
        """Make these; append to parts the offset of their answers, and what they write."""
        addresses = step.addresses[rows]
        count = len(addresses)
        out = self._reserve(self._prober["ANSWER_SIZE"] * count)
        homes, first, written = 0, 0, np.zeros(1, dtype=np.uint64)
        if step.kind.access is Access.WRITE:
            expected = np.full(count, NO_HOME) if step.homes is None else step.homes[rows]
            homes = self._put(np.where(expected == NO_HOME, np.uint64(self._scratch), expected))
            written = tokens(self._writes, count)
            first = int(written[0]) if count else 0
            self._writes += count
        what = f"{'USER' if step.kind.user else 'SUPERVISOR'}_{step.kind.access.name}"
        if self._fork.accel != "tcg" and step.kind.user and step.kind.access is not Access.FETCH:
            what += "_SLOW"  # KVM without VMX or SVM (PVM) returns from SYSCALL's entry to ring 3
        self._row(
            "PROBE",
            count,
            A=self._put(addresses),
            B=out,
            C=homes,
            D=first,
            E=self._prober[what],
            F=_RFLAGS_ONE | (_RFLAGS_AC if step.kind.ac else 0),
        )
        parts.append((rows, out - self.extra, written))
