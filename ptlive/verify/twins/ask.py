"""The twin's part of a verification: what is asked besides, and under which accelerators."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from ptlive.paging.control import EFER
from ptlive.verify import census, tiling
from ptlive.verify.twins import pkru
from ptlive.verify.twins.accel import twins
from ptlive.verify.twins.fork import fork_of
from ptlive.verify.twins.run import ORACLE, Wanted, verify_twin
from ptlive.verify.twins.strays import strays

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.analysis.report import Report
    from ptlive.paging.graph import Graph
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target
    from ptlive.verify.run import Plan

# Of the addresses that the tables map, so many are where random ones are looked for.
_SAMPLE = 1 << 12


def ask_twin(
    report: Report,
    target: Target,
    space: AddressSpace,
    graph: Graph,
    plan: Plan,
    progress: Callable[[str, int, int], None],
) -> None:
    """Ask twins, one for each accelerator, and check that nothing was forgotten.

    Raises PtliveError when a twin cannot answer.
    """
    cpu = next(cpu for cpu in target.cpus if cpu.vcpu == space.vcpu)
    machine = census.Machine(space.format.top, cpu.maxphyaddr or 52, bool(cpu.efer & EFER.NXE))
    root = int(space.root[0])
    others = np.zeros(0, dtype=np.uint64)
    if plan.va is None:
        counts = census.count(space.memory, machine, root) if plan.ranges is None else []
        tiling.compare(report, graph, plan.ranges, counts, plan.again(ORACLE))
        if plan.ranges is None:
            near = census.sample(space.memory, machine, root, _SAMPLE, plan.seed)
            others = strays(space.format.top, near, plan.strays, plan.seed)
    values = pkru.values(space.controls)
    if len(values) > 1:
        told = ", ".join(f"{value:#x}" for value in values)
        report.notes.append(f"PKRU is not known: what depends on it is asked under {told}")
    copied = functools.partial(progress, "RAM")
    fork = fork_of(target, space, plan.guest, ram=plan.ram, qemu=plan.qemu, progress=copied)
    todo = twins(fork, target, space, graph, plan.accels)
    for twin in todo:
        report.notes += twin.notes
        name = ORACLE if len(todo) == 1 else f"{ORACLE}, {twin.answered_by}"
        wanted = Wanted(
            kinds=plan.kinds,
            va=plan.va,
            strays=others,
            each_frame=plan.each_frame,
            seed=plan.seed,
            options=f"{twin.options}{plan.root}",
            again=plan.again(ORACLE),
        )
        tell = functools.partial(progress, name)
        verify_twin(report, twin.space, twin.graph, twin.fork, twin.answered_by, wanted, tell)
