"""Forks of guests under test, from what QEMU's monitor says about a stopped one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ptlive.oracle.twin.fork import Control, Fork
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from ptlive.target.running import Guest

# The menu guest's: key 1 denies access, key 2 writes.
MENU_PKRU = 1 << 2 | 1 << 5


def fork_of(guest: Guest, pkru: int = 0) -> Fork:
    with Qmp(guest.qmp) as qmp:
        text = qmp.human("info registers")
    found = {name: int(value, 16) for name, value in re.findall(r"(CR\d|EFER)=(\w+)", text)}
    return Fork(
        ram=guest.ram,
        size=guest.memory,
        low_ram=guest.memory,
        root=found["CR3"],
        control=Control(cr0=found["CR0"], cr4=found["CR4"], efer=found["EFER"], pkru=pkru),
        cpu="max" if guest.levels == 5 else "max,-la57",
    )
