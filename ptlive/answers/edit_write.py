"""An edit written into a guest, whole or not at all; and taken back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

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

SCHEMA = "ptlive.edit-undo/1"
# An undo file with a page of text for every entry of a thousand tables is no larger.
_LARGEST = 1 << 28
# What the MMU writes by itself: these fields have the same names in every format.
_BY_MMU = ("A", "D")


class Patch(NamedTuple):
    """Bytes at a physical address, before and after an edit.

    mmu: the bits in which the MMU may change them by itself; kept: those of them that
    stay as they are then when the edit is undone
    """

    address: int
    old: bytes
    new: bytes
    mmu: bytes
    kept: bytes


def patches(edit: Edit) -> list[Patch]:
    """Return what an edit writes, in order: new tables before what refers to them."""
    found = []
    for one in edit.tables():
        level = edit.fmt.level(one.lvl)
        size = one.entries.size * level.entry_size
        data, _ = edit.below.read(np.array([one.table], dtype=np.uint64), size)
        mask = np.full_like(one.entries, _mmu(edit.fmt, one.lvl))
        mmu, new = (_encoded(edit.fmt, one.lvl, column) for column in (mask, one.entries))
        found.append(Patch(one.table, data.tobytes(), new, mmu, bytes(size)))
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
    mark = len(target.journal)
    _apply(target, [(one.address, one.old, one.new) for one in todo])
    rows = [{"address": hex(one.address), **_hexes(one)} for one in todo]
    text = json.dumps({"schema": SCHEMA, **about, "writes": rows}, indent=1)
    write_whole(undo, text.encode() + b"\n")
    flushed = flush(target)
    target.journal.clear(mark)
    return flushed


def take_back(target: Target, file: Path, *, force: bool = False) -> tuple[int, Flushed]:
    """Undo an edit; return how many pieces of memory were put back.

    force: also where something else is there than the edit left. Raises PtliveError for a
    file that is none of ours.
    """
    todo = read_undo(file)
    now = _now(target, todo)
    for one, data in zip(todo, now, strict=True):
        if not force and (_number(data) ^ _number(one.new)) & ~_number(one.mmu):
            raise PtliveError(
                f"at {one.address:#x} is not what the edit left there: the guest, or somebody, "
                "has written since (--force puts the old back all the same)"
            )
    restored = []
    for one, data in zip(todo, now, strict=True):
        # What the MMU has noted since of a page that is still mapped must not be lost.
        noted = _number(data) & ~_number(one.new) & _number(one.kept)
        old = (_number(one.old) | noted).to_bytes(len(one.old), "little")
        restored.append((one.address, data, old))
    mark = len(target.journal)
    _apply(target, list(reversed(restored)))
    flushed = flush(target)
    target.journal.clear(mark)
    return len(restored), flushed


def read_undo(file: Path) -> list[Patch]:
    """Read what `write` wrote. Raises PtliveError for anything else."""
    try:
        if file.stat().st_size > _LARGEST:
            raise PtliveError(f"{file} is too large for an undo file")
        found = json.loads(file.read_bytes())
        if found["schema"] != SCHEMA:
            raise ValueError
        return [_patch(row) for row in found["writes"]]
    except OSError as error:
        raise PtliveError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PtliveError(f"{file} is no undo file of ptlive edit") from None


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


def _apply(target: Target, writes: Sequence[tuple[int, bytes, bytes]]) -> None:
    """Write (address, old, new) in order, noted in the journal; read back."""
    for address, old, _ in writes:
        for at in (address, address + len(old) - 1):
            if target.ram_map.kind_of(np.array([at], dtype=np.uint64))[0] != Kind.RAM:
                raise PtliveError(f"{at:#x} is not RAM of the guest")
    for address, old, _ in writes:
        target.journal.record_memory(address, old)
    target.stub.write_physical([(address, new) for address, _, new in writes])
    for address, now, new in zip(
        [address for address, _, _ in writes],
        _read(target, [(address, len(new)) for address, _, new in writes]),
        [new for _, _, new in writes],
        strict=True,
    ):
        if now != new:
            raise PtliveError(f"QEMU does not read back what was written to {address:#x}")


def _now(target: Target, todo: Sequence[Patch]) -> list[bytes]:
    return _read(target, [(one.address, len(one.new)) for one in todo])


def _read(target: Target, places: Iterable[tuple[int, int]]) -> list[bytes]:
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


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _hexes(one: Patch) -> dict[str, str]:
    names = ("old", "new", "mmu", "kept")
    return {name: getattr(one, name).hex() for name in names}


def _patch(row: dict[str, str]) -> Patch:
    """Read one row. Raises ValueError, KeyError, TypeError for what is none."""
    columns = [bytes.fromhex(row[name]) for name in ("old", "new", "mmu", "kept")]
    address = int(row["address"], 16)
    if len({len(one) for one in columns}) != 1 or not columns[0] or not 0 <= address < 1 << 63:
        raise ValueError
    return Patch(address, *columns)
