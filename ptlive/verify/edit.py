"""What an edit would do to a guest: to what its vCPUs stand on, and to what its MMU answers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.report import Report
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.oracle.ground import GENERAL_PROTECTION, PAGE_FAULT, survey, table_addresses
from ptlive.paging import rights
from ptlive.paging.paths import leaves
from ptlive.space import open_space
from ptlive.verify.choice import choose as choose_oracle
from ptlive.verify.run import Plan, verify
from ptlive.verify.stepped import ORACLE as STEPPED
from ptlive.verify.targets import choose
from ptlive.verify.twins.fork import fork_of
from ptlive.verify.twins.run import ORACLE as TWIN
from ptlive.verify.twins.run import Wanted, verify_twin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.analysis.edit import Edit
    from ptlive.arrays import U64
    from ptlive.paging.translate import Translations
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.cpu import CpuState
    from ptlive.target.running import Guest
    from ptlive.wire.stub import Stub

# Addresses in leaves and holes of the range that a twin is asked about: its answers come
# within a second. So many accesses the guest's own vCPU executes, at 500 a second.
ASKED = 1 << 14
EXECUTED = 200
# Leaves of the range among which frames of page tables are looked for.
_LOOKED = 1 << 20
_WORD = 8


def own_spaces(target: Target, space: AddressSpace) -> Iterator[tuple[CpuState, AddressSpace]]:
    """Yield each vCPU whose paging is on with its own address space, over a space's memory."""
    for cpu in target.cpus:
        try:
            yield cpu, open_space(cpu, space.memory, space.ram_map)
        except PtliveError:
            continue  # its paging is off: no table matters to it


def dangers(target: Target, space: AddressSpace, edit: Edit) -> Iterator[str]:
    """Yield what the guest's vCPUs stand on and would lose, and its tables, in sentences."""
    for cpu, own in own_spaces(target, space):
        after = dataclasses.replace(own, memory=edit.memory)
        needs = [("the code at its PC", cpu.pc, "execute")]
        if not target.file:
            needs += _needed(target.stub, cpu.vcpu)
        for what, va, right in needs:
            lost = _lost(own, after, va, right)
            if lost:
                yield f"vCPU {cpu.vcpu} would lose {what}, {va:#x}: {lost}"
    yield from _tables_lost(space, edit)


def _needed(stub: Stub, vcpu: int) -> Iterator[tuple[str, int, str]]:
    """Yield what a vCPU needs besides its code: what it is, where, and which right."""
    registers = stub.registers(vcpu)
    if "rsp" in registers:
        yield "its stack", registers["rsp"] - _WORD & (1 << 64) - 1, "write"
    for name, at in table_addresses(stub, vcpu):
        yield f"its {name}", at, ""
    try:
        ground = survey(stub, vcpu, registers)
    except (PtliveError, KeyError):
        return  # exceptions go nowhere, or this is another architecture
    for top in sorted({found.top for found in ground.entry.values() if found}):
        yield "a stack of its exceptions", top - _WORD, "write"
    for vector in (GENERAL_PROTECTION, PAGE_FAULT):
        yield f"its handler of vector {vector}", ground.handlers[vector].handler, "execute"


def _lost(before: AddressSpace, after: AddressSpace, va: int, right: str) -> str:
    """Say what is lost of an address; nothing if it is as it was, or was not mapped."""
    place = np.array([va], dtype=np.uint64)
    old, new = before.translate(place), after.translate(place)
    if not old.mapped[0]:
        return ""
    if not new.mapped[0]:
        return "it would not be mapped"
    if old.pa[0] != new.pa[0]:
        return f"it would be in another frame, {int(new.pa[0]):#x}"
    known = {one.name for one in before.format.rights}
    if right in known and _has(old, right) and not _has(new, right):
        return f"{right} would be denied"
    return ""


def _has(found: Translations, right: str) -> bool:
    return bool(rights.granted(found.fmt, found.rights, right)[0])


def _tables_lost(space: AddressSpace, edit: Edit) -> Iterator[str]:
    """Yield a sentence if the range maps tables of this address space, and would not any more."""
    tables = np.unique(np.concatenate([floor.nodes.table for floor in space.walk().floors]))
    found: list[U64] = []
    for chunk in leaves(edit.before(), _LOOKED):
        last_pa = chunk.pa + (chunk.last_va - chunk.va)
        first, end = np.searchsorted(tables, chunk.pa), np.searchsorted(tables, last_pa, "right")
        for row in np.flatnonzero(end > first).tolist():
            inside = tables[first[row] : end[row]] - chunk.pa[row]
            found.append(chunk.va[row] + inside)
    if not found:
        return
    va = np.unique(np.concatenate(found))
    va = va[(va >= np.uint64(edit.va)) & (va <= np.uint64(edit.last_va))]
    old = space.translate(va)
    new = dataclasses.replace(space, memory=edit.memory).translate(va)
    lost = old.mapped & (~new.mapped | (old.pa != new.pa))
    if any(one.name == "write" for one in space.format.rights):
        could, can = (rights.granted(one.fmt, one.rights, "write") for one in (old, new))
        lost |= could & ~can
    if lost.any():
        count, first_va = int(lost.sum()), int(va[lost][0])
        yield (
            f"the guest would not reach {count} of its page tables any more as it does now, "
            f"the first at {first_va:#x}"
        )


def ask_edited(
    target: Target,
    space: AddressSpace,
    guest: Guest | None,
    edit: Edit,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Report:
    """Have a twin whose tables are edited make every kind of access to the range.

    Raises PtliveError where no twin can be had.
    """
    edited = dataclasses.replace(space, memory=edit.memory)
    choice = choose_oracle((TWIN,), target, [edited], guest)
    edited = choice.spaces[0]
    graph = edit.graph()
    chosen = choose(graph, ASKED, 0)
    report = Report.of(graph, choice.version or target.version, seed=0)
    report.notes += [text for _, text in choice.notes]
    fork = fork_of(target, edited, guest, ram=choice.ram)
    fork = dataclasses.replace(fork, words=words_of(edit))
    by = "TCG" if fork.accel == "tcg" else target.accelerator
    wanted = Wanted(kinds=tuple(ACCESS_KINDS.values()), va=chosen.va, again="ptlive edit")
    verify_twin(
        report, edited, graph, fork, by, wanted, lambda done, all_: progress(TWIN, done, all_)
    )
    left = chosen.entries - chosen.va.size
    if left > 0:
        report.check(TWIN, by, "fault").unchecked["not chosen: the range has too many"] += left
    return report


def words_of(edit: Edit) -> tuple[U64, U64]:
    """Return where 8-byte entries are to be written, and what: uint64[n] each."""
    if any(level.entry_size != _WORD for level in edit.fmt.levels):
        raise PtliveError(f"a twin does not know the entries of {edit.fmt.name}")
    tables = edit.tables()
    addresses = [w.address for w in edit.changed()]
    values = [w.new for w in edit.changed()]
    for one in tables:
        count = np.arange(one.entries.size, dtype=np.uint64)
        addresses.append(np.uint64(one.table) + np.uint64(_WORD) * count)
        values.append(one.entries)
    none = np.zeros(0, dtype=np.uint64)
    return np.concatenate([none, *addresses]), np.concatenate([none, *values])


def execute(
    target: Target, space: AddressSpace, va: int, last_va: int, guest: Guest | None
) -> Report:
    """Have the guest's own vCPU execute accesses to the range, now that it is edited.

    Raises PtliveError where it cannot.
    """
    if target.stub.halted(space.vcpu):
        raise PtliveError(f"vCPU {space.vcpu} is halted and executes nothing")
    choose_oracle((STEPPED,), target, [space], guest)
    ends = u64(va), u64(last_va)
    plan = Plan(oracles=(STEPPED,), ranges=ends, probes=EXECUTED, guest=guest)
    return verify(target, space, plan)
