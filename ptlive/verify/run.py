"""A whole verification: choose, predict, ask, compare."""

from __future__ import annotations

import dataclasses
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.report import Report
from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind as Medium
from ptlive.oracle import debug_walker as debug_oracle
from ptlive.oracle import info_tlb as info_tlb_oracle
from ptlive.oracle.stepped import SteppedProbe
from ptlive.paging import control, rights
from ptlive.paging.format import Kind
from ptlive.paging.paths import leaves
from ptlive.paging.words import none_inside
from ptlive.target.machine import QEMU
from ptlive.target.still import StandStill
from ptlive.verify import debug_walker, info_tlb, stepped
from ptlive.verify.question import questions
from ptlive.verify.targets import choose
from ptlive.verify.twins import run as twin
from ptlive.verify.twins.ask import ask_twin
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.access_kind import AccessKind
    from ptlive.arrays import U64
    from ptlive.oracle.observation import Observation
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest
    from ptlive.verify.question import Question
    from ptlive.verify.twins.ram import Ram

ORACLES = (twin.ORACLE, stepped.ORACLE, debug_walker.ORACLE, info_tlb.ORACLE)
CODE_PAGES = 256
# As many lines as are asked for take a second; on a busy machine several.
_INFO_TLB_SECONDS = 30.0
# Random addresses beside all leaves and holes.
STRAYS = 4096
_WORD, _PAGE = np.uint64(2**64 - 8), np.uint64(2**64 - 4096)


@dataclass(frozen=True)
class Plan:
    """What to verify.

    oracles: of ORACLES; va: ask about these addresses only, uint64[n]; probes:
    how many accesses (or translations) each oracle is asked for at most; guest: the
    bundled guest that the target is, if it is one: its RAM can be forked
    strays: how many random addresses the twin is asked besides; each_frame: whether it
    is asked for each 4K frame inside larger pages; accels: under which accelerators,
    by default the guest's own
    ram: how the twin comes to the guest's RAM, if it was looked for; qemu: which program
    the twin is; version: what that is, if it may be another than the guest's
    root: the options that name guest and root in a command, for reproducing; rest: the
    other arguments that choose what is asked
    """

    oracles: Sequence[str]
    kinds: Sequence[AccessKind] = tuple(ACCESS_KINDS.values())
    ranges: tuple[U64, U64] | None = None
    va: U64 | None = None
    probes: int = 2000
    seed: int = 0
    strays: int = STRAYS
    each_frame: bool = False
    accels: Sequence[str] = ()
    root: str = ""
    rest: str = ""
    guest: Guest | None = None
    ram: Ram | None = None
    qemu: str = QEMU
    version: str | None = None

    def again(self, oracle: str) -> str:
        """Return a command that asks everything again, but for the options in `root`."""
        return f"ptlive verify{self.rest} --oracle {oracle} --seed {self.seed}"


Progress = "Callable[[str, int, int], None]"


def verify(
    target: Target,
    space: AddressSpace,
    plan: Plan,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    witness: Callable[[Question, Observation | None], None] = lambda *_: None,
) -> Report:
    """Ask the oracles of a plan and return what they said.

    progress: told (oracle, done, all); witness: sees each question to the
    stepped probe, and the answer if it was asked

    Raises PtliveError when an oracle cannot answer at all.
    """
    begun = time.monotonic()
    if set(plan.oracles) - {twin.ORACLE}:
        _check_root(target, space)
    if twin.ORACLE in plan.oracles:
        still = StandStill(target)
    graph = space.walk(plan.ranges, progress)
    if graph.tops.number.size == 0 and plan.va is None:
        raise PtliveError(none_inside(space.format))
    report = Report.of(graph, plan.version or target.version, plan.seed)
    if twin.ORACLE in plan.oracles:
        try:
            ask_twin(report, target, space, graph, plan, progress)
        except PtliveError:
            still.check()  # whatever came of it, of tables that changed meanwhile it means nothing
            raise
        still.check()
    if stepped.ORACLE in plan.oracles:
        _ask_stepped(target, space, plan, graph, report, progress, witness)
    if debug_walker.ORACLE in plan.oracles:
        va, left = _addresses(plan, graph, plan.probes)
        translations = space.translate(va)
        progress(debug_walker.ORACLE, 0, va.size)
        answers = debug_oracle.ask(target.stub, space.vcpu, [int(a) for a in va])
        progress(debug_walker.ORACLE, va.size, va.size)
        debug_walker.compare(report, translations, answers, plan.root)
        if left:
            check = report.check(debug_walker.ORACLE, debug_walker.ANSWERED_BY, "frame")
            check.unchecked["not chosen: more entries than probes"] += left
    if info_tlb.ORACLE in plan.oracles:
        _ask_info_tlb(target, space, plan, graph, report, progress)
    report.seconds = time.monotonic() - begun
    return report


def _check_root(target: Target, space: AddressSpace) -> None:
    """Raise PtliveError if the vCPU translates by other tables: its answers would mean nothing."""
    cpu = next(cpu for cpu in target.cpus if cpu.vcpu == space.vcpu)
    if int(space.root[0]) != cpu.cr3 & space.format.root_mask:
        raise PtliveError(
            f"oracles answer for the root that vCPU {space.vcpu} uses, {cpu.cr3:#x}, "
            f"not for {int(space.root[0]):#x}: give --root cr3 or --root vcpu:N"
        )
    used = control.mode(cpu.cr0, cpu.cr4, cpu.efer)
    if control.FORMAT_OF_MODE.get(used) != space.format.name:
        raise PtliveError(
            f"oracles answer for {used}, which the vCPU uses, not for {space.format.name}"
        )


def _addresses(plan: Plan, graph: Graph, count: int) -> tuple[U64, int]:
    """Return the addresses to ask about, and how many entries are left out."""
    if plan.va is not None:
        return plan.va, 0
    targets = choose(graph, count, plan.seed)
    return targets.va, targets.entries - targets.va.size


def _ask_stepped(
    target: Target,
    space: AddressSpace,
    plan: Plan,
    graph: Graph,
    report: Report,
    progress: Callable[[str, int, int], None],
    witness: Callable[[Question, Observation | None], None],
) -> None:
    """Ask the stepped probe."""
    va, left = _addresses(plan, graph, max(plan.probes // max(len(plan.kinds), 1), 1))
    va = va & _WORD  # the access has 8 bytes, and must not reach into the next page
    whole = graph if plan.ranges is None else space.walk()
    tables = np.unique(np.concatenate([f.nodes.table for f in whole.floors])) & _PAGE
    code = _code(space, whole, tables)
    probe = SteppedProbe(target.stub, target.journal, target.memory, space.vcpu, code, plan.seed)
    try:
        probe.keep(_entries_to(space, probe.stands_on))
        if space.controls.key_matters:
            controls = space.controls.with_pkru(probe.pkru())
            space = dataclasses.replace(space, controls=controls)
        translations = space.translate(va)
        comparison = stepped.Comparison(report, translations, target.accelerator, plan.root)
        if left:
            reason = "not chosen: more entries than probes"
            report.check(stepped.ORACLE, target.accelerator, "fault").unchecked[reason] = (
                left * len(plan.kinds)
            )
        asked = list(questions(space, translations, plan.kinds, tables))
        for question in asked:
            if question.probe is None:
                comparison.unchecked(question, question.unchecked or "not asked")
                witness(question, None)
        asked = [question for question in asked if question.probe]
        answers = probe.ask(
            [question.probe for question in asked if question.probe],
            lambda done: progress(stepped.ORACLE, done, len(asked)),
        )
        for question, seen in zip(asked, answers, strict=True):
            comparison.add(question, seen)
            witness(question, seen)
    finally:
        probe.close()


def _ask_info_tlb(
    target: Target,
    space: AddressSpace,
    plan: Plan,
    graph: Graph,
    report: Report,
    progress: Callable[[str, int, int], None],
) -> None:
    """Ask for all that `info tlb` prints, and hold it against the walk."""
    if not space.format.name.startswith("x86-64"):
        # Of a 4M page it prints neither the size nor what PSE-36 adds, of PAE's XD a part of pa.
        raise PtliveError(
            f"info tlb is held against 4 and 5 levels, not against {space.format.name}"
        )
    progress(info_tlb.ORACLE, 0, graph.reached(Kind.LEAF))
    with ExitStack() as stack:
        qmp = target.qmp
        if qmp is None and plan.guest is not None:
            qmp = stack.enter_context(Qmp(plan.guest.qmp, timeout=_INFO_TLB_SECONDS))
        if qmp is None:
            # gdb acknowledges each line, QEMU reads none of that before the last, and both wait.
            raise PtliveError("info tlb is asked over QMP, since gdb hangs of it: name it by --qmp")
        lines = info_tlb_oracle.ask(
            space.memory, space.ram_map, int(space.root[0]), space.format.top, space.vcpu, qmp
        )
    va = plan.va if plan.va is not None else info_tlb.addresses(graph, lines, plan.ranges)
    progress(info_tlb.ORACLE, va.size, va.size)
    info_tlb.compare(report, space.translate(va), lines, plan.root)


def _entries_to(space: AddressSpace, addresses: Sequence[int]) -> list[int]:
    """Return where the entries on the paths of these addresses lie."""
    found = space.translate(np.array(addresses, dtype=np.uint64))
    return [int(s.entry_pa[at]) for row in range(found.va.size) for s, at in found.path(row)]


def _code(
    space: AddressSpace, graph: Graph, tables: U64
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return pages of supervisor-mode and of user-mode code in RAM, as (va, pa).

    tables: frames of page tables, in which nothing may be planted.
    """
    found: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for chunk in leaves(graph, 1 << 20):
        ram = space.target_of(chunk.pa, np.zeros_like(chunk.pa)) == Medium.RAM
        ram &= ~np.isin(chunk.pa & _PAGE, tables)
        executable = ram & rights.granted(graph.fmt, chunk.rights, "execute")
        user = rights.granted(graph.fmt, chunk.rights, "user")
        for mode, rows in ((0, executable & ~user), (1, executable & user)):
            for row in np.flatnonzero(rows)[: CODE_PAGES - len(found[mode])]:
                found[mode].append((int(chunk.va[row]), int(chunk.pa[row])))
        if min(map(len, found)) >= CODE_PAGES:
            break
    return found
