"""A whole verification: choose, predict, ask, compare."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.report import Report
from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind as Medium
from ptlive.oracle import debug_walker as debug_oracle
from ptlive.oracle.stepped import SteppedProbe
from ptlive.paging import control, rights
from ptlive.paging.format import Kind
from ptlive.paging.graph import HOLES
from ptlive.paging.paths import leaves
from ptlive.verify import debug_walker, stepped, twin
from ptlive.verify.fork import fork_of
from ptlive.verify.question import questions
from ptlive.verify.targets import choose

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

ORACLES = (twin.ORACLE, stepped.ORACLE, debug_walker.ORACLE)
CODE_PAGES = 256
_WORD, _PAGE = np.uint64(2**64 - 8), np.uint64(2**64 - 4096)


@dataclass(frozen=True)
class Plan:
    """What to verify.

    oracles: of ORACLES; va: ask about these addresses only, uint64[n]; probes:
    how many accesses (or translations) each oracle is asked for at most; root:
    the options that name the root in a command, for reproducing; guest: the
    bundled guest that the target is, if it is one: its RAM can be forked
    """

    oracles: Sequence[str]
    kinds: Sequence[AccessKind] = tuple(ACCESS_KINDS.values())
    ranges: tuple[U64, U64] | None = None
    va: U64 | None = None
    probes: int = 2000
    seed: int = 0
    root: str = ""
    guest: Guest | None = None


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
    graph = space.walk(plan.ranges)
    if graph.tops.number.size == 0:
        raise PtliveError(f"no address in these ranges is canonical in {space.format.name}")
    report = Report(
        tables=graph.tables,
        leaves=graph.leaves,
        reached=graph.reached(Kind.LEAF),
        holes=graph.reached(*HOLES),
        version=target.version,
        seed=plan.seed,
    )
    if twin.ORACLE in plan.oracles:
        progress(twin.ORACLE, 0, 1)
        fork, by = fork_of(target, space, plan.guest), target.accelerator
        twin.verify_twin(
            report, space, graph, fork, by, plan.kinds, plan.root, va=plan.va, seed=plan.seed
        )
        progress(twin.ORACLE, 1, 1)
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
            check.unchecked["not chosen (--probes asks for more)"] += left
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
    if used != f"{space.format.top}-level paging":
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
    whole = space.walk()
    tables = np.unique(np.concatenate([f.nodes.table for f in whole.floors])) & _PAGE
    code = _code(space, whole, tables)
    probe = SteppedProbe(target.stub, target.journal, target.memory, space.vcpu, code, plan.seed)
    try:
        probe.keep(_entries_to(space, probe.stands_on))
        if space.controls.key_matters:
            controls = dataclasses.replace(space.controls, pkru=probe.pkru())
            space = dataclasses.replace(space, controls=controls)
        translations = space.translate(va)
        comparison = stepped.Comparison(report, translations, target.accelerator, plan.root)
        if left:
            reason = "not chosen (--probes asks for more)"
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
