"""An edit written into a guest, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.answers.edit_file import Patch, undo_text
from ptlive.errors import PtliveError
from ptlive.files import write_whole
from ptlive.memory.ram_map import Kind
from ptlive.show.edit import Flushed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ptlive.analysis.edit import Edit
    from ptlive.arrays import U64
    from ptlive.paging.format import Format
    from ptlive.target.attach import Target

# What the MMU writes by itself: these fields have the same names in every format.
_BY_MMU = ("A", "D")


def patches(edit: Edit) -> list[Patch]:
    """Return what an edit writes, in order: new tables before what refers to them."""
    found = []
    for one in edit.tables():
        level = edit.fmt.level(one.lvl)
        size = one.entries.size * level.entry_size
        data, _ = edit.below.read(np.array([one.table], dtype=np.uint64), size)
        mask = np.full_like(one.entries, _mmu(edit.fmt, one.lvl))
        mmu, new = (_encoded(edit.fmt, one.lvl, column) for column in (mask, one.entries))
        found.append(Patch(one.table, data.tobytes(), new, mmu, bytes(size), table=True))
    for write in reversed(edit.changed()):
        size = edit.fmt.level(write.lvl).entry_size
        mask = np.full_like(write.new, _mmu(edit.fmt, write.lvl))
        both = edit.fmt.present(write.old) & edit.fmt.present(write.new)
        columns = (
            _encoded(edit.fmt, write.lvl, column)
            for column in (write.old, write.new, mask, np.where(both, mask, np.uint64(0)))
        )
        old, new, mmu, kept = columns
        for row, address in enumerate(write.address.tolist()):
            at = slice(row * size, (row + 1) * size)
            found.append(Patch(address, old[at], new[at], mmu[at], kept[at]))
    return found


def check_writable(target: Target) -> None:
    """Raise PtliveError if the guest is not one whose tables may be written."""
    if target.file is not None:
        raise PtliveError("a file is not edited: leave out --write, and it is shown what would be")
    if target.was_running:
        raise PtliveError(
            "the guest runs, and would use its tables while they change: stop it first "
            "(QMP's stop, or edit it inside gdb)"
        )


def write(target: Target, edit: Edit, undo: Path, about: dict[str, Any]) -> Flushed:
    """Write an edit, and how to undo it into a file; if anything fails, nothing was changed.

    about: what the file tells of the edit besides
    """
    todo = patches(edit)
    text = undo_text(edit, todo, about)
    mark = len(target.journal)
    apply(target, [(one.address, one.old, one.new) for one in todo])
    write_whole(undo, text.encode() + b"\n")
    flushed = flush(target)
    target.journal.clear(mark)
    return flushed


def flush(target: Target) -> Flushed:
    """Flush the TLB of every vCPU, where that can be done from outside."""
    if target.accelerator != "TCG":
        why = f"under {target.accelerator} only an instruction of the guest flushes it"
        return Flushed(done=False, text=f"TLB not flushed: {why}")
    if any(cpu.architecture.name != "x86-64" for cpu in target.cpus):
        name = target.cpus[0].architecture.name
        why = f"no register of {name} flushes it that the stub can write"
        return Flushed(done=False, text=f"TLB not flushed: {why}")
    # QEMU's cpu_x86_update_cr3 flushes that vCPU's TLB, global pages too, whatever is written
    # (target/i386/helper.c).
    for cpu in target.cpus:
        target.stub.write_registers(cpu.vcpu, {"cr3": cpu.cr3})
    count = len(target.cpus)
    whose = "vCPU 1" if count == 1 else f"{count} vCPUs"
    return Flushed(done=True, text=f"TLB of {whose} flushed")


def apply(target: Target, writes: Sequence[tuple[int, bytes, bytes]]) -> None:
    """Write (address, old, new) in order, noted in the journal; read back."""
    ends = [at for address, old, _ in writes for at in (address, address + len(old) - 1)]
    where = np.array(ends, dtype=np.uint64)
    wrong = where[target.ram_map.kind_of(where) != Kind.RAM]
    if wrong.size:
        raise PtliveError(f"{int(wrong[0]):#x} is not RAM of the guest")
    for address, old, _ in writes:
        target.journal.record_memory(address, old)
    target.stub.write_physical([(address, new) for address, _, new in writes])
    for address, now, new in zip(
        [address for address, _, _ in writes],
        read_pieces(target, [(address, len(new)) for address, _, new in writes]),
        [new for _, _, new in writes],
        strict=True,
    ):
        if now != new:
            raise PtliveError(f"QEMU does not read back what was written to {address:#x}")


def read_pieces(target: Target, places: Iterable[tuple[int, int]]) -> list[bytes]:
    """Read pieces of memory, those of one length in one batch."""
    wanted = list(places)
    found: dict[int, bytes] = {}
    for length in {length for _, length in wanted}:
        rows = [row for row, (_, size) in enumerate(wanted) if size == length]
        address = np.array([wanted[row][0] for row in rows], dtype=np.uint64)
        data, valid = target.stub.read_physical(address, length)
        if not valid.all():
            raise PtliveError(f"{int(address[~valid][0]):#x} cannot be read")
        found |= {row: data[at].tobytes() for at, row in enumerate(rows)}
    return [found[row] for row in range(len(wanted))]


def _mmu(fmt: Format, lvl: int) -> np.uint64:
    return np.uint64(sum(f.mask for f in fmt.level(lvl).fields if f.name in _BY_MMU))


def _encoded(fmt: Format, lvl: int, values: U64) -> bytes:
    return values.astype(fmt.level(lvl).entry).tobytes()
