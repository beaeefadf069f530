"""A Linux guest with the tables to measure: booted, stopped, and ended again."""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.guests import linux
from ptlive.guests.mapper import parse_order
from ptlive.target import launch
from ptlive.target.machine import Machine
from scripts.benchmark.raw import RawQmp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ptlive.target.running import Guest
    from scripts.benchmark.shapes import Shape

_STOPPED_WITHIN = 20.0
_ADDRESS = 0x000F_FFFF_FFFF_F000
_LA57 = 1 << 12


@dataclass(frozen=True)
class Subject:
    """A stopped guest.

    qmp: the address of a QMP socket that ptlive's own sessions leave free
    root: the physical address of its root table; levels: of paging
    without: what the guest's mapper says it could not make
    """

    guest: Guest
    qmp: str
    root: int
    levels: int
    without: tuple[str, ...]

    @property
    def socket(self) -> str:
        """The path of the stub's unix socket."""
        return self.guest.gdb.removeprefix("unix:")


@contextmanager
def boot(shape: Shape, leaves: int | None, folder: Path) -> Iterator[Subject]:
    """Boot a guest of this shape for a `with` block, at whose end it is gone.

    folder: for the QMP socket. Raises PtliveError when it cannot be booted.
    """
    text = shape.ordered(leaves)
    recipe = linux.recipe(order=parse_order(text) if text else None)
    socket = folder / "qmp.sock"
    socket.unlink(missing_ok=True)
    # As this process is the guest's parent, it ends with it, however that ends.
    extra = (*shape.extra, "-qmp", f"unix:{socket},server=on,wait=off")
    machine = Machine(memory=shape.memory and max(shape.memory, recipe.memory), extra=extra)
    with launch.temporary(recipe, machine) as guest, RawQmp(f"unix:{socket}") as qmp:
        _stop(qmp, in_mapper=bool(text))
        registers = qmp.text("info registers")
        log = guest.serial_log.read_text(errors="replace")
        subject = Subject(
            guest=guest,
            qmp=f"unix:{socket}",
            root=_register(registers, "CR3") & _ADDRESS,
            levels=5 if _register(registers, "CR4") & _LA57 else 4,
            without=tuple(re.findall(r"mapper: (without [^\r\n]*)", log)),
        )
        qmp.close()
        yield subject


def _stop(qmp: RawQmp, *, in_mapper: bool) -> None:
    """Stop the guest in the mapper's loop, where CR3 is its own, unless there is none."""
    deadline = time.monotonic() + _STOPPED_WITHIN
    qmp.command("stop")
    # The mapper spins for ever, and the shell sleeps, so that it will soon be there.
    while in_mapper and not _in_the_loop(qmp):
        if time.monotonic() > deadline:
            raise PtliveError("the guest's mapper does not get to run")
        qmp.command("cont")
        time.sleep(0.05)
        qmp.command("stop")


def _in_the_loop(qmp: RawQmp) -> bool:
    """Tell whether the vCPU is in ring 3, at `pause` or the jump back to it (mapper.c, park)."""
    registers = qmp.text("info registers")
    if "CPL=3" not in registers:
        return False
    around = qmp.text(f"x /6xb {_register(registers, 'RIP') - 2:#x}")
    return "0xf3 0x90 0xeb 0xfc" in around


def _register(text: str, name: str) -> int:
    found = re.search(rf"\b{name}=([0-9a-f]+)", text)
    if not found:
        raise PtliveError(f"QEMU does not tell {name}")
    return int(found[1], 16)


def own_state(folder: Path) -> None:
    """Keep these guests apart from those that the user runs."""
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
