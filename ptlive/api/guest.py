"""Guests: attached to, opened from a file, or booted; each for a `with` block."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ptlive.answers.spaces import PlainView, found_roots, space_at, space_of
from ptlive.api.held import Held
from ptlive.api.shown import Shown, Table
from ptlive.api.space import AddressSpace
from ptlive.api.whole import LAST, number
from ptlive.errors import PtliveError
from ptlive.show import words
from ptlive.target import running, sources
from ptlive.target.attach import attach as attach_by_stub
from ptlive.verify.twins.fork import pkru_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from ptlive.api.roots import Roots
    from ptlive.memory.ram_map import RamMap
    from ptlive.target.attach import Target
    from ptlive.target.cpu import CpuState
    from ptlive.target.running import Guest as Running
    from ptlive.wire.qmp import Qmp

# RDPKRU gives 32 bits (SDM vol. 3A, 4.6.2).
_LAST_PKRU = (1 << 32) - 1


class Guest(Shown):
    """A guest that is held: stopped, and nobody else talks to its stub; or a file.

    It is good inside of its `with` block; after that every question raises PtliveError.
    """

    def __init__(self, held: Held) -> None:
        self._held = held

    @property
    def name(self) -> str:
        """Where it is: the stub's address, or the file."""
        return self._held.target.address

    @property
    def vcpus(self) -> tuple[CpuState, ...]:
        """The vCPUs as they were when it was attached: vcpu (from 1), cr0 to cr4, efer, rip ..."""
        return self._target.cpus

    @property
    def ram_map(self) -> RamMap:
        """Where RAM, ROM and devices are: regions with first, last, kind and name."""
        return self._target.ram_map

    @property
    def accelerator(self) -> str:
        """Who executes it: "TCG", or a kind of KVM."""
        return self._held.target.accelerator

    @property
    def version(self) -> str:
        """The version of its QEMU."""
        return self._held.target.version

    @property
    def memory_source(self) -> str:
        """What memory is read through: "shared", "proc", "qmp", "stub", "gdb", a kind of file."""
        return self._held.target.memory_source

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of this attachment, in sentences."""
        file = self._held.target.file
        told = () if file is None else (*file.first, *file.late())
        return (*self._held.target.notes, *(text for _, text in told))

    def space(
        self,
        vcpu: int = 1,
        root: int | str | None = None,
        *,
        format: str | None = None,  # noqa: A002 - as the command's option is called
        pkru: int | Literal["ask"] | None = None,
    ) -> AddressSpace:
        """Return the address space that a vCPU uses, or one with another root.

        vcpu: from 1; root: a root table's physical address, or "cr3", "vcpu:N" or "#N" of
        `roots`; format: walk as this format, whatever the vCPU uses
        pkru: the guest's PKRU, which QEMU's stub lacks, so that without it some faults cannot be
        told; "ask" has QEMU save its state, where there is a QMP: some milliseconds

        Raises PtliveError if paging is off, for a mode that has no format, and for a vCPU or root
        that there is none of.
        """
        vcpu = number(vcpu, "a vCPU", 1)
        if pkru == "ask":
            asking = self.space(vcpu, format=format)
            pkru = pkru_of(self._target, asking._inner, self._held.running)
        elif pkru is not None:
            pkru = number(pkru, "PKRU", last=_LAST_PKRU)
        view = PlainView(vcpu, format, pkru)
        target = self._target
        if isinstance(root, str) and root.startswith("#"):
            return self._listed(root, view)
        where = "cr3" if root is None else root
        if not isinstance(where, str):
            where = hex(number(where, "the address of a root table"))
        elif where.startswith("vcpu:"):
            where = f"vcpu:{_parsed(where.removeprefix('vcpu:'))}"
        elif where != "cr3":
            where = hex(_parsed(where))
        return AddressSpace(self._held, space_at(target, view, where))

    def spaces(self) -> list[AddressSpace]:
        """Return the address spaces that the vCPUs use, each once.

        vCPUs whose paging is off are left out. Raises PtliveError if that is so of all.
        """
        found: dict[int, AddressSpace] = {}
        why: PtliveError | None = None
        for cpu in self._target.cpus:
            try:
                space = self.space(cpu.vcpu)
            except PtliveError as error:
                why = error
                continue
            found.setdefault(space.root, space)
        if not found and why is not None:
            raise why
        return list(found.values())

    def roots(self, *, min_confidence: float = 0.5) -> Roots:
        """Look through all of RAM for root tables, of processes and kernels; no symbols are needed.

        min_confidence: leave out what is less sure, from 0 to 1. Takes a good part of a second for
        each GB. Raises PtliveError if the first vCPU's paging is off.
        """
        from ptlive.api.roots import roots

        self._held.check()
        return roots(self._held, PlainView(), min_confidence)

    def snapshot(
        self, file: str | PathLike[str], *, full: bool = False, force: bool = False
    ) -> tuple[str, ...]:
        """Keep its registers, memory map and tables in a file, which `open` reads.

        full: all of RAM and ROM, too, so that it can be verified; force: replace a file of that
        name. Only you may read the file. Returns what is to be known of it, in sentences.

        Raises PtliveError if it cannot be written.
        """
        from ptlive.api.snapshot import save

        self._held.check()
        return save(self._held, file, full=full, force=force)

    def read(self, pa: int, length: int) -> bytes:
        """Read physical memory, RAM and ROM only.

        Raises PtliveError where there is neither: devices are not touched.
        """
        import numpy as np

        pa = number(pa, "a physical address")
        length = number(length, "a length", last=LAST + 1 - pa)
        # More than there is, is not tried: room would have to be made for it first.
        there = sum(one.last - one.first + 1 for one in self._target.ram_map.regions)
        where, wanted = np.array([pa], dtype=np.uint64), min(length, there)
        data, valid = self._target.memory.read(where, wanted)
        if wanted < length or not valid[0]:
            raise PtliveError(f"{pa:#x}..{pa + length - 1:#x} lies in no RAM and no ROM")
        return bytes(data[0])

    def _listed(self, root: str, view: PlainView) -> AddressSpace:
        found = found_roots(self._target, view, self._held.scanned)
        for one in found.roots:
            if f"#{one.number}" == root:
                return AddressSpace(self._held, space_of(self._target, view, one))
        raise PtliveError(f"there is no root {root}: {len(found.roots)} were found, from #0 on")

    @property
    def _target(self) -> Target:
        """The target. Raises PtliveError once it was given back."""
        self._held.check()
        return self._held.target

    def _title(self) -> str:
        target = self._held.target
        vcpus = words.count(len(target.cpus), "vCPU")
        ram = words.size(target.ram_map.ram_bytes)
        over = f"; {self._held.why_not}" if self._held.why_not else ""
        machine = f"QEMU {target.version}, {target.accelerator}, {vcpus}, {ram}"
        return f"guest {target.address}: {machine}, memory by {target.memory_source}{over}"

    def _content(self) -> Iterator[str | Table]:
        cpus = self._held.target.cpus
        header = ("vCPU", cpus[0].architecture.pc.upper(), *map(str.upper, cpus[0].registers))
        rows = [
            (
                str(cpu.vcpu),
                *(_hex(value) for value in (cpu.pc, *cpu.registers.values())),
                "halted" if cpu.halted else "",
            )
            for cpu in cpus
        ]
        yield Table((*header, "state"), rows, ">")
        yield from (f"note: {note}" for note in self.notes)


@contextmanager
def attach(
    address: str | None = "localhost:1234",
    *,
    qmp: str | None = None,
    memory: str = "auto",
    was_running: bool | None = None,
) -> Iterator[Guest]:
    """Hold a guest through QEMU's gdb stub for a `with` block, and leave it as it was found.

    address: where the stub listens, HOST:PORT or unix:PATH, or the name of a bundled guest that
    runs (`ptlive guest list`); None leaves the stub alone and asks `qmp`: the guest must be stopped
    then. qmp: where its QMP listens, which tells what the stub does not; memory: what is read
    through: auto (the fastest that there is), shared, qmp, proc, stub or gdb (the one that
    PTLIVE_GDB in the environment names, if it does)
    was_running: whether it ran before, for who knows it, where this QEMU does not tell (else it is
    left stopped, and that is among its `notes`)

    At the block's end, however it ends, it is as it was found: PhyMemMode off, running again if it
    ran; a guard process sees to that even if this one is killed. No signal handler is set, and any
    thread may do this; the values belong to one thread at a time.

    Raises PtliveError when there is no stub, when somebody else holds it, and when the guest could
    not be put back.
    """
    with ExitStack() as stack:
        guest, stub, monitor = place_of(stack, address, qmp, memory)
        if stub is None:
            from ptlive.target.by_qmp import attach_by_qmp

            assert monitor is not None
            target = stack.enter_context(attach_by_qmp(monitor))
        else:
            transport: Literal["stub", "gdb"] = "gdb" if memory == sources.GDB else "stub"
            held = attach_by_stub(stub, was_running=was_running, qmp=monitor, transport=transport)
            target = stack.enter_context(held)
        with _holding(target, guest, memory) as opened:
            yield opened


@contextmanager
def open(  # noqa: A001 - called as ptlive.open, as gzip.open is
    file: str | PathLike[str], *, assume: Sequence[str] = ()
) -> Iterator[Guest]:
    """Read a guest from a file for a `with` block: a snapshot, or QEMU's dump-guest-memory.

    assume: NAME=VALUE for what the file lacks: cr0, cr2, cr3, cr4, efer, maxphyaddr, gbpages,
    pkru; or ram=, rom=, device=FIRST..LAST; with a cr3, a file of bare physical memory is read, too

    Raises PtliveError if it cannot be read, or is no such file.
    """
    from ptlive.target.from_file.open import open_file

    with _holding(open_file(Path(file), assume), None, sources.AUTO) as opened:
        yield opened


@contextmanager
def _holding(target: Target, guest: Running | None, memory: str) -> Iterator[Guest]:
    held = held_of(target, guest, memory)
    try:
        yield Guest(held)
    finally:
        held.end()


def held_of(target: Target, guest: Running | None, memory: str) -> Held:
    """Return a target as it is held, with its memory read so.

    Raises PtliveError where it cannot be read so.
    """
    source = sources.choose(target, memory, guest)
    return Held(sources.with_source(target, source), guest, source.memory)


def place_of(
    stack: ExitStack, address: str | None, qmp: str | None, memory: str
) -> tuple[Running | None, str | None, Qmp | None]:
    """Return the bundled guest that is meant, if it is one, its stub's address, and its QMP.

    address: None leaves the stub alone; qmp: its QMP's address; memory: by what it is to be read
    Raises PtliveError if they do not say where it is, and if QMP does not answer.
    """
    from ptlive.wire.qmp import Qmp

    if memory not in sources.SOURCES:
        known = ", ".join(sources.SOURCES)
        raise PtliveError(f"memory is read by one of {known}, not by {memory!r}")
    guest = _bundled(address, qmp)
    stub = guest.gdb if guest and address is not None else address
    if qmp is None and guest is not None and memory == sources.QMP:
        qmp = guest.qmp
    if qmp is None and stub is None:
        raise PtliveError("without the gdb stub the guest is asked by QMP: name it by qmp")
    return guest, stub, stack.enter_context(Qmp(qmp)) if qmp else None


def _bundled(address: str | None, qmp: str | None) -> Running | None:
    """Return the bundled guest that is meant, None if it is none of them.

    Raises PtliveError for a name that none has.
    """
    if address is not None and ":" not in address:
        return running.find(address)
    known = running.guests()
    if address is None:
        return next((one for one in known if one.qmp == qmp), None)
    return next((one for one in known if one.gdb == address), None)


def _hex(value: int | None) -> str:
    return "" if value is None else f"{value:#x}"


def _parsed(text: str) -> int:
    try:
        return number(int(text, 0), "the address of a root table")
    except ValueError:
        raise PtliveError(f"{text!r} is no root: an address, cr3, vcpu:N or #N") from None
