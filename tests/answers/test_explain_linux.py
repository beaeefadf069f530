"""Page faults of a Linux that works: which access it was, and that the tables say so, too."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from ptlive.analysis.explain.frame import PAGE_FAULT
from ptlive.answers.explain import Asked, explain
from ptlive.oracle.ground import survey
from ptlive.space import open_space
from ptlive.target import prompt
from ptlive.target.attach import attach
from ptlive.target.cpu import read_cpus

if TYPE_CHECKING:
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu

FAULTS = 40
#: Processes that begin and end, in the background, until DONE.
WORK = ": > /busy; (while [ -e /busy ]; do ls -l /proc; done) > /dev/null 2>&1 & true"
DONE = "rm /busy"


def test_every_fault_is_one_of_its_instructions_accesses(linux_guest: Guest) -> None:
    prompt.ask(linux_guest, WORK)
    try:
        modes = modes_of_faults(linux_guest)
    finally:
        prompt.ask(linux_guest, DONE)
    assert modes[3] > 0


def modes_of_faults(guest: Guest) -> Counter[int]:
    """Explain each fault as it is taken; return at which privilege levels they were."""
    modes: Counter[int] = Counter()
    with attach(guest.gdb) as target:
        handler = survey_of(target)
        for _ in range(FAULTS):
            if target.stub.registers(1)["rip"] == handler:
                target.stub.step(1)
            assert target.stub.run_to(1, handler, 30)
            now = dataclasses.replace(target, cpus=tuple(read_cpus(target.stub)))
            space = open_space(now.cpus[0], now.memory, now.ram_map)
            found = explain(now, space, Asked()).what
            taken = found.fault
            assert taken is not None
            assert taken.agrees, taken.difference
            assert taken.number is not None
            assert taken.number == found.first
            assert taken.now.bit is not None
            modes[found.cpl] += 1
    return modes


def survey_of(target: Target) -> int:
    """Return the handler as the stepped probe's own survey finds it."""
    ground = survey(target.stub, 1, target.stub.registers(1))
    return ground.handlers[PAGE_FAULT].handler
