"""An edit written into a guest, whole or not at all; and taken back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ptlive.answers.spaces import PlainView, space_at
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.files import write_whole
from ptlive.memory.ram_map import Kind
from ptlive.paging.overlay import Overlay
from ptlive.paging.reach import reached
from ptlive.paging.walk import walk
from ptlive.show.edit import Flushed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ptlive.analysis.edit import Edit
    from ptlive.answers.spaces import View
    from ptlive.arrays import U64
    from ptlive.paging.format import Format
    from ptlive.target.attach import Target

SCHEMA = "ptlive.edit-undo/1"
# An undo file with a page of text for every entry of a thousand tables is no larger.
_LARGEST = 1 << 28
# What the MMU writes by itself: these fields have the same names in every format.
_BY_MMU = ("A", "D")
_BYTES = ("old", "new", "mmu", "kept")


class Patch(NamedTuple):
    """Bytes at a physical address, before and after an edit.

    mmu: the bits in which the MMU may change them by itself; kept: those of them that
    stay as they are then when the edit is undone; table: whether it is a new table, and no entry
    """

    address: int
    old: bytes
    new: bytes
    mmu: bytes
    kept: bytes
    table: bool = False


class Undo(NamedTuple):
    """How to undo an edit: of which address space and range, and what was written, in order."""

    format: str
    roots: list[int]
    va: int
    last_va: int
    writes: list[Patch]


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
    where = {
        "format": edit.fmt.name,
        "roots": [hex(one) for one in edit.root.tolist()],
        "va": hex(edit.va),
        "last_va": hex(edit.last_va),
    }
    rows = [_as_json(one) for one in todo]
    text = json.dumps({"schema": SCHEMA, **about, **where, "writes": rows}, indent=1)
    if len(text) > _LARGEST:
        raise PtliveError(f"{len(todo):,} pieces of memory would change: take a smaller range")
    mark = len(target.journal)
    _apply(target, [(one.address, one.old, one.new) for one in todo])
    write_whole(undo, text.encode() + b"\n")
    flushed = flush(target)
    target.journal.clear(mark)
    return flushed


def take_back(
    target: Target, view: View, file: Path, *, force: bool = False
) -> tuple[int, Flushed | None]:
    """Undo an edit; return how many pieces of memory were put back: none if all is as it was.

    view: whose registers count; force: also where something else is there than the edit left,
    or where the tables of that address space are not any more. Raises PtliveError for a file
    that is none of ours.
    """
    undo = read_undo(file)
    todo = undo.writes
    now = _read(target, [(one.address, len(one.new)) for one in todo])
    if not any(map(_differs, todo, now)):
        return 0, None
    if not force:
        for one, data in zip(todo, now, strict=True):
            if (_number(data) ^ _number(one.new)) & ~_number(one.mmu):
                raise PtliveError(
                    f"at {one.address:#x} is not what the edit left there: the guest, or somebody, "
                    "has written since (--force puts the old back all the same)"
                )
        _check_place(target, view, undo)
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


def _differs(one: Patch, now: bytes) -> bool:
    """Tell whether memory is not as it was before the edit, but for what the MMU writes."""
    edited = _number(one.old) ^ _number(one.new)
    return bool((_number(now) ^ _number(one.old)) & (~_number(one.mmu) | edited))


def _check_place(target: Target, view: View, undo: Undo) -> None:
    """Raise PtliveError if the entries, put back, would be no entries of that range any more.

    Then this is another guest, or the address space is gone and its tables are something else:
    what an edit has cleared is zero in most of memory.
    """
    seen = PlainView(view.vcpu, undo.format, view.pkru)
    space = space_at(target, seen, hex(undo.roots[0]))
    entry = space.format.level(1).entry
    entries = [one for one in undo.writes if not one.table]
    size = np.dtype(entry).itemsize
    if len(undo.roots) != space.format.roots or any(len(one.old) != size for one in entries):
        raise PtliveError(f"these are no entries of {space.format.name}")
    address = np.array([one.address for one in entries], dtype=np.uint64)
    old = np.frombuffer(b"".join(one.old for one in entries), dtype=entry).astype(np.uint64)
    memory = Overlay(space.memory)
    memory.write(address, old, entry)
    ends = u64(undo.va), u64(undo.last_va)
    roots = np.array([undo.roots], dtype=np.uint64)
    there = reached(walk(space.format, memory, roots, ends), address)
    if not there.all():
        raise PtliveError(
            f"the entry at {int(address[~there][0]):#x} is not one of root {undo.roots[0]:#x} any "
            "more: another guest, or an address space that is gone (--force writes all the same)"
        )


def read_undo(file: Path) -> Undo:
    """Read what `write` wrote. Raises PtliveError for anything else."""
    try:
        if file.stat().st_size > _LARGEST:
            raise PtliveError(f"{file} is too large for an undo file")
        found = json.loads(file.read_bytes())
        if found["schema"] != SCHEMA or not isinstance(found["format"], str) or not found["roots"]:
            raise ValueError
        roots = [_number_of(text) for text in found["roots"]]
        va, last_va = (_number_of(found[name]) for name in ("va", "last_va"))
        return Undo(found["format"], roots, va, last_va, [_patch(row) for row in found["writes"]])
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


def _as_json(one: Patch) -> dict[str, Any]:
    columns = {name: getattr(one, name).hex() for name in _BYTES}
    return {"address": hex(one.address), **columns, "table": one.table}


def _patch(row: dict[str, Any]) -> Patch:
    """Read one row. Raises ValueError, KeyError, TypeError for what is none."""
    old, new, mmu, kept = (bytes.fromhex(row[name]) for name in _BYTES)
    if not len(old) == len(new) == len(mmu) == len(kept) > 0:
        raise ValueError
    return Patch(_number_of(row["address"]), old, new, mmu, kept, bool(row["table"]))


def _number_of(text: str) -> int:
    """Read an address. Raises ValueError, TypeError for what is none."""
    number = int(text, 16)
    if not 0 <= number < 1 << 64:
        raise ValueError
    return number
