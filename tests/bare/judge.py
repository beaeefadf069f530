"""What ptlive predicts of accesses, held against what a guest's own MMU said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.paging.access import ALLOWED, UNPREDICTABLE, check

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ptlive.space import AddressSpace
    from tests.bare.guest import Booted, Probe
    from tests.bare.x86 import Told

PTLIVE = str(Path(sys.executable).with_name("ptlive"))


def disagreements(
    space: AddressSpace,
    probes: Sequence[Probe],
    rules_of: Callable[[Any, dict[str, int]], Any],
    fault_of: Callable[[Probe], tuple[int, int]],
) -> list[str]:
    """Return, in words, where the guest saw another outcome than ptlive predicts.

    rules_of: the rules under a state that the guest named; fault_of: the (vector, code) that
    ptlive has for a fault of the guest's. Frames begin with their own address, so a read that
    succeeded says where it went.
    """
    wrong = []
    groups: dict[tuple[Any, str], list[Probe]] = defaultdict(list)
    for probe in probes:
        groups[probe.state, probe.access].append(probe)
    for (state, access), some in groups.items():
        found = space.translate(u64(*(probe.va for probe in some)))
        rules = rules_of(space.controls, dict(state))
        verdicts = check(found, rules, ACCESS_KINDS[access])
        for row, probe in enumerate(some):
            told = int(verdicts.vector[row]), int(verdicts.error_code[row])
            expected = fault_of(probe) if probe.fault else (ALLOWED, 0)
            text = f"{probe.va:#x} {access} {dict(state)}"
            if told[0] == UNPREDICTABLE:
                wrong.append(f"{text}: not predicted")
            elif told != expected:
                wrong.append(f"{text}: the guest saw {expected}, ptlive says {told}")
            elif probe.fault and probe.address != probe.va:
                wrong.append(f"{text}: the fault names {probe.address:#x}")
            elif access.endswith("-read") and probe.seen is not None:
                frame = int(found.pa[row]) & ~0xFFF
                if probe.seen != frame:
                    wrong.append(f"{text}: the guest read from {probe.seen:#x}, not {frame:#x}")
    return wrong


def with_bits(rules: Any, **bits: int) -> Any:
    """Return rules with some of their bits as they are in a state that the guest named."""
    return replace(rules, **{name: bool(value) for name, value in bits.items()})


def ask(guest: Booted | Told, *arguments: str) -> Any:
    """Return what a command prints as JSON."""
    command = [PTLIVE, *arguments, "--gdb", guest.gdb, "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
