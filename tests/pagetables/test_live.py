"""Both ways on bare metal, where the MMU uses the tables while they are worked on."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import ptlive
from tests.pagetables.live import FRAMES, OWN, LiveJudge, booted, harmless
from tests.pagetables.machine import make
from tests.pagetables.operations import HUGE, anchors, describe, operations

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("guest-old.elf", "guest-ucrpw.elf")
VERIFIED = 200  # accesses that a twin is asked for, each time


def judge_guests(folder: Path, levels: int, seeds: range, count: int, walk_every: int) -> None:
    """Judge both ways in guests; then a twin's MMU is asked about what is left in the tables."""
    out = make(folder, levels, "-j2", "guests")
    places = [at for at in anchors(levels) if OWN <= at < 1 << 64]
    with ExitStack() as stack:
        guests = [stack.enter_context(booted(out / name, levels)) for name in NAMES]
        judge = LiveJudge([machine for machine, _ in guests], seeds[0], walk_every)
        for seed in seeds:
            around = [HUGE, *places[seed % 3 :: 3]]
            for command in operations(seed, levels, count, around, FRAMES):
                if not harmless(command):
                    continue
                try:
                    judge.step(command)
                except AssertionError as wrong:
                    raise AssertionError(f"seed {seed}, {describe(command)}: {wrong}") from None
            judge.look()
            for _, guest in guests:
                with ptlive.attach(guest.gdb, qmp=guest.qmp) as held:
                    report = held.space().verify(probes=VERIFIED, oracles=["twin"])
                assert not report.disagreements, report
                assert report.checked
    assert judge.executed > count
    assert judge.faults


@pytest.mark.qemu
@pytest.mark.parametrize("levels", [4, 5])
def test_random_operations(tmp_path: Path, levels: int) -> None:
    judge_guests(tmp_path, levels, range(1, 2), 80, walk_every=10)


@pytest.mark.qemu
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("levels", [4, 5])
def test_thousands_of_random_operations(tmp_path: Path, levels: int) -> None:
    judge_guests(tmp_path, levels, range(400, 405), 250, walk_every=1)
