"""The stepped probe: one access at a time, executed by the guest's own vCPU.

The vCPU is given the address, single-stepped through a load or a store of the
guest's own code, or through one instruction at the address itself, and looked
at: either it went on, or it stands at the handler of an exception. What the
access was expected to reach is shown by a random value that was put there.

It writes and steps, so it runs only when a user names it. Everything that it
changes is noted in the journal first, and put back.
"""

from __future__ import annotations

import dataclasses
import random
import struct
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.errors import PtliveError
from ptlive.oracle import gadgets
from ptlive.oracle.ground import FRAME, PAGE_FAULT, Stack, survey
from ptlive.oracle.observation import Observation, Proof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ptlive.arrays import Memory
    from ptlive.oracle.gadgets import Gadgets
    from ptlive.oracle.observation import Probe
    from ptlive.target.journal import Journal
    from ptlive.wire.stub import Stub

PAGE = 1 << 12
AC = 1 << 18
RFLAGS = 1 << 1  # always set; interrupts, traps and the rest off
MOV_EAX = 0xB8  # mov $imm32, %eax: five bytes that touch no memory
RDPKRU = bytes.fromhex("0f01ee")
BATCH = 64
# On a busy computer QEMU now and then stops a vCPU before it has executed anything.
ATTEMPTS = 5

# In this order they are put back: CR3 last, since writing it flushes the TLB.
_REGISTERS = (
    *("cs", "ss", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"),
    *(f"r{number}" for number in range(8, 16)),
    *("rip", "eflags", "cr2", "cr3"),
)


class SteppedProbe:
    """A vCPU of a stopped guest, made to execute accesses.

    code: pages of supervisor-mode and of user-mode code, as (va, pa), in which
        to look for a load and a store
    memory: for looking at them

    Raises PtliveError if the vCPU cannot execute (halted), or if the guest has
    nowhere for an exception to go. `close` puts everything back.
    """

    def __init__(
        self,
        stub: Stub,
        journal: Journal,
        memory: Memory,
        vcpu: int,
        code: tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]],
        seed: int = 0,
    ) -> None:
        if stub.halted(vcpu):
            raise PtliveError(
                f"vCPU {vcpu} is halted and executes nothing: let the guest run until it wakes "
                "(--let-run; inside gdb, continue)"
            )
        self._stub, self._journal, self._vcpu = stub, journal, vcpu
        self._mark = len(journal)
        registers = stub.registers(vcpu)
        self._found = {name: registers[name] for name in _REGISTERS}
        self._ground = survey(stub, vcpu, registers)
        self._pages = {user: list(pages) for user, pages in zip((False, True), code, strict=True)}
        self._gadgets = {user: _search(memory, pages) for user, pages in self._pages.items()}
        self._random = random.Random(seed)
        self._now = dict(registers)
        self._old: dict[int, bytes] = {}
        self._restore: dict[int, bytes] = {}
        journal.record_registers(stub, vcpu, self._found)
        stacks = {self._ground.stack, *self._ground.entry.values()}
        self._own = self._ground.frames | self._frames_of_gadgets()
        self._note([s.pa + at for s in stacks if s for at in range(0, FRAME, 8)])

    @property
    def stands_on(self) -> list[int]:
        """Linear addresses that the probe uses itself, besides those that it is asked about."""
        used = [
            g.va for found in self._gadgets.values() if found for g in (found.load, found.store)
        ]
        homes = [va for va, _ in self._pages[False][:1]]
        return [va for va in (*self._ground.addresses, *used, *homes) if 0 <= va < 1 << 64]

    def keep(self, entries: Sequence[int]) -> None:
        """Have the 8-byte entries at these physical addresses put back by `close`.

        The MMU sets A and D in those on the paths of what the probe stands on.
        """
        self._note(entries)

    def close(self) -> None:
        """Put registers and memory back as they were found."""
        self._journal.undo(self._stub, self._mark)

    def pkru(self) -> int | None:
        """Read PKRU by executing RDPKRU; None if there is no page to execute it in."""
        home = next(iter(self._pages[False]), None)
        if home is None:
            return None
        va, pa = home
        self._note([pa])
        self._stub.write_physical([(pa, RDPKRU + self._old[pa][len(RDPKRU) :])])
        after = self._step(user=False, rip=va, ac=False, values={"rcx": 0})
        self._stub.write_physical([(pa, self._old[pa])])
        return after["rax"] & 0xFFFF_FFFF if after["rip"] == va + len(RDPKRU) else None

    def ask(
        self, probes: Sequence[Probe], progress: Callable[[int], None] = lambda _: None
    ) -> Iterator[Observation]:
        """Yield what each access did, in order; progress is told how many are done."""
        for first in range(0, len(probes), BATCH):
            batch = probes[first : first + BATCH]
            batch = [self._spared(probe) for probe in batch]
            self._note([pa for p in batch for pa in (*p.entries, *_kept(p))])
            for number, probe in enumerate(batch, start=first + 1):
                yield self._ask(probe)
                progress(number)

    def _ask(self, probe: Probe) -> Observation:
        user = probe.kind.user
        fetch = probe.kind.access is Access.FETCH
        reason = self._cannot(probe)
        if reason:
            return Observation(unchecked=reason)
        found = self._gadgets[user]
        token = self._random.getrandbits(64) | 1
        if probe.proof is Proof.COMPARE and probe.pa is not None:
            token = int.from_bytes(self._old[probe.pa], "little")
        self._plant(probe, token)
        values: dict[str, int] = {}
        rip = after_rip = probe.va
        if fetch:
            # Whatever is executed instead of the planted instruction can only reach the stack.
            values = dict.fromkeys(_REGISTERS[2:9], self._ground.stack.top - FRAME)
            after_rip += 5
        else:
            assert found is not None
            gadget = found.load if probe.kind.access is Access.READ else found.store
            rip, after_rip = gadget.va, gadget.next_va
            values = {gadget.value: token if gadget is found.store else ~token & (1 << 64) - 1}
            values |= {gadget.address: probe.va}
        after = self._step(user=user, rip=rip, ac=probe.kind.ac, values=values)
        entries, there, stack = self._look(probe)
        if after["rip"] == after_rip:
            if fetch:
                reached = after["rax"] == token & 0xFFFF_FFFF
            elif probe.kind.access is Access.READ:
                assert found is not None
                reached = after[found.load.value] == token
            else:
                reached = there == token
            frame, why = _judge(probe, reached)
            return Observation(frame=frame, frame_unchecked=why, entries=entries)
        return self._fault(after, rip, stack, entries)

    def _spared(self, probe: Probe) -> Probe:
        """Plant nothing in what the probe itself stands on."""
        if probe.proof is Proof.PLANT and probe.pa is not None and probe.pa & -PAGE in self._own:
            return dataclasses.replace(probe, proof=Proof.COMPARE)
        return probe

    def _frames_of_gadgets(self) -> set[int]:
        """Return the frames of the code that is executed."""
        used = {
            gadget.va & -PAGE
            for found in self._gadgets.values()
            if found
            for gadget in (found.load, found.store)
        }
        return {pa for pages in self._pages.values() for va, pa in pages if va in used}

    def _cannot(self, probe: Probe) -> str | None:
        """Say why an access cannot be executed."""
        user, fetches = probe.kind.user, probe.kind.access is Access.FETCH
        if user and self._ground.user is None:
            return "the guest's GDT has no user-mode segments"
        if user and self._ground.entry[PAGE_FAULT] is None:
            return "the stack for exceptions from user mode is not mapped"
        if not fetches and self._gadgets[user] is None:
            return f"no load and store in {'user' if user else 'supervisor'}-mode code"
        if fetches and probe.pa is not None and probe.proof is not Proof.PLANT:
            return "a fetch would execute what is there"
        return None

    def _plant(self, probe: Probe, token: int) -> None:
        """Put back what the last probe left, and prepare this one, in one batch."""
        writes = self._restore
        self._restore = {}
        if probe.proof is Proof.PLANT and probe.pa is not None:
            old = self._old[probe.pa]
            if probe.kind.access is Access.FETCH:
                code = struct.pack("<BI", MOV_EAX, token & 0xFFFF_FFFF)
                writes[probe.pa] = code + old[len(code) :]
            elif probe.kind.access is Access.READ:
                writes[probe.pa] = token.to_bytes(8, "little")
            self._restore[probe.pa] = old
        if writes:
            self._stub.write_physical(list(writes.items()))

    def _step(self, *, user: bool, rip: int, ac: bool, values: dict[str, int]) -> dict[str, int]:
        """Execute one instruction at `rip`, the TLB flushed."""
        segments = self._ground.user if user else self._ground.supervisor
        assert segments is not None
        wanted = {"cs": segments.cs, "ss": segments.ss, "rsp": self._ground.stack.top, "rip": rip}
        wanted |= {"eflags": RFLAGS | (AC if ac else 0), **values}
        changed = {name: value for name, value in wanted.items() if self._now[name] != value}
        # Writing CR3 flushes the TLB, so that the MMU walks the tables as they are now.
        changed["cr3"] = self._found["cr3"]
        for _ in range(ATTEMPTS):
            self._now = self._stub.step(self._vcpu, changed)
            if self._now["rip"] != rip:
                break
        return self._now

    def _look(self, probe: Probe) -> tuple[tuple[int, ...], int, tuple[int, int]]:
        """Return the path's entries, what is at the expected address, and what was pushed."""
        stack = self._pushed(probe.kind.user)
        addresses = [*probe.entries, *(_kept(probe) or [stack.pa]), stack.pa, stack.pa + 8]
        data, valid = self._stub.read_physical(np.array(addresses, dtype=np.uint64), 8)
        if not valid.all():
            raise PtliveError("QEMU does not read back what was just written")
        words = [int(word) for word in data.reshape(-1).view("<u8")]
        for pa, word in zip(probe.entries, words, strict=False):
            now = word.to_bytes(8, "little")
            if now != self._old[pa]:
                self._restore.setdefault(pa, self._old[pa])
        entries = tuple(words[: len(probe.entries)])
        return entries, words[-3], (words[-2], words[-1])

    def _pushed(self, user: bool) -> Stack:
        stack = self._ground.entry[PAGE_FAULT] if user else self._ground.stack
        gate = self._ground.handlers[PAGE_FAULT]
        if gate.ist:
            stack = self._ground.entry[PAGE_FAULT]
        assert stack is not None
        return stack

    def _fault(
        self, after: dict[str, int], rip: int, pushed: tuple[int, int], entries: tuple[int, ...]
    ) -> Observation:
        """Return the exception that the vCPU took."""
        vector = self._ground.vector_at(after["rip"])
        if vector is None:
            moved = f"went to {after['rip']:#x}" if after["rip"] != rip else "executed nothing"
            return Observation(unchecked=f"the vCPU {moved}")
        error_code, from_rip = pushed
        if from_rip != rip:
            return Observation(unchecked=f"vector {vector} pushed no frame where it was expected")
        return Observation(
            vector=vector,
            error_code=error_code & 0xFFFF_FFFF,
            cr2=after["cr2"] if vector == PAGE_FAULT else None,
            entries=entries,
        )

    def _note(self, addresses: Sequence[int]) -> None:
        """Remember, and write into the journal, 8 bytes at each of these addresses."""
        new = [pa for pa in dict.fromkeys(addresses) if pa not in self._old]
        if not new:
            return
        data, valid = self._stub.read_physical(np.array(new, dtype=np.uint64), 8)
        for pa, row, ok in zip(new, data, valid.tolist(), strict=True):
            if not ok:
                raise PtliveError(f"the guest's memory at {pa:#x} cannot be read")
            self._old[pa] = row.tobytes()
            self._journal.record_memory(pa, self._old[pa])


def _kept(probe: Probe) -> list[int]:
    """Return where an access is expected to arrive, if that is memory."""
    return [] if probe.pa is None or probe.proof is Proof.NONE else [probe.pa]


def _judge(probe: Probe, reached: bool) -> tuple[bool | None, str | None]:
    """Return what an allowed access shows about the frame, or why it shows nothing."""
    if probe.pa is None:
        return False, None
    if probe.proof is Proof.NONE:
        return None, "nothing at that physical address keeps a value"
    if probe.proof is Proof.COMPARE and reached:
        return None, "page table, ROM or the probe's own ground: compared, nothing planted"
    return reached, None


def _search(memory: Memory, pages: Sequence[tuple[int, int]]) -> Gadgets | None:
    """Look for gadgets, a few pages at a time."""
    for first in range(0, len(pages), 16):
        part = pages[first : first + 16]
        data, valid = memory.read(np.array([pa for _, pa in part], dtype=np.uint64), PAGE)
        code = [(va, data[at].tobytes()) for at, (va, _) in enumerate(part) if valid[at]]
        found = gadgets.find(code)
        if found:
            return found
    return None
