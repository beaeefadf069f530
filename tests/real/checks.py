"""Everything that is asked of one guest; each fails with what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.analysis.systems import detect
from ptlive.wire.qmp import Qmp
from tests.real import judge
from tests.real.world import PTI_USER

if TYPE_CHECKING:
    from tests.real.world import World


def agree(differences: list[str]) -> None:
    """Fail with all that differs."""
    if differences:
        pytest.fail("\n".join(differences), pytrace=False)


def check_witnesses(world: World) -> None:
    lost = world.census.lost + world.kernel.lost
    agree([f"{lost} lines did not arrive whole"] if lost else [])
    agree([f"{one.name} has no root" for one in world.census.users if not (one.root and one.mm)])
    names = {one.name for one in world.census.users}
    agree([f"no {name}" for name in ("init", "sh", "mapper") if name not in names])
    agree([] if len(world.kernel.modules) == 3 else [f"modules: {world.kernel.modules}"])


def check_processes(world: World) -> None:
    """Every page of every process, in each of its roots."""
    differences = []
    for process in world.census.users:
        for space in judge.spaces(world.connection.target, world.halves(process.root)):
            differences += judge.process_differences(space, process)
            differences += judge.absent_differences(space, process)
            # Of an isolated pair the user's half executes (pti.c: the kernel's has XD there).
            whole = not world.isolated or bool(int(space.root[0]) & PTI_USER)
            differences += judge.right_differences(space, process, executable=whole)
    agree(differences)
    assert sum(process.present for process in world.census.users) > 1000


def check_roots(world: World) -> None:
    found = judge.roots_of(world)
    agree([*judge.root_differences(world, found), *found.limits])


def check_areas(world: World) -> None:
    """As they are found from CR3, and from the kernel's own root."""
    target = world.connection.target
    for root in (target.cpus[0].cr3 & ~0xFFF, world.kernel.roots["init_mm"]):
        (space,) = judge.spaces(target, [root])
        profile = detect(space.walk(), space.memory, judge.ram_of(target))
        if profile is None:
            pytest.fail(f"no Linux is seen from {root:#x}", pytrace=False)
        agree(judge.area_differences(world, profile.areas))


def check_tlb(world: World) -> None:
    target = world.connection.target
    with Qmp(world.guest.qmp) as qmp:
        text = qmp.human("info tlb")
    (space,) = judge.spaces(target, [target.cpus[0].cr3 & ~0xFFF])
    agree(judge.tlb_differences(space.walk(), text))


def check_all(world: World) -> None:
    check_witnesses(world)
    check_processes(world)
    check_roots(world)
    check_areas(world)
    check_tlb(world)
