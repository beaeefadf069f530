"""Runs the guest that counts, and reads what it says."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

from ptlive.errors import PtliveError
from ptlive.target.machine import QEMU

if TYPE_CHECKING:
    from pathlib import Path

# call.S: `call_loop` takes as many instructions.  A counter that says otherwise counts nothing.
_LOOP = 2 + 2 * 1000
_PATIENCE = 120.0
_SUCCESS = 0x10 << 1 | 1  # what isa-debug-exit makes of count.c's SUCCESS


class Count(NamedTuple):
    """What an operation cost on leaves of 1 << shift bytes, each stride-th place of that size.

    stack: from the return address of the call downwards
    """

    operation: str
    shape: str
    leaves: int
    stride: int
    shift: int
    instructions: int
    stack: int


def count(elf: Path) -> list[Count]:
    """Run a guest. Raises PtliveError unless it comes to its end."""
    # A nanosecond of the guest's clock is an instruction (QEMU, docs/devel/tcg-icount.rst); its
    # time stamp counter is that clock (hw/i386, cpu_get_tsc).
    command = [
        *(QEMU, "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-machine", "pc,accel=tcg", "-cpu", "max", "-m", "128M"),
        *("-icount", "shift=0,sleep=off", "-debugcon", "stdio"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", str(elf)),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PtliveError(f"the guest that counts does not end: {error.stdout!r}") from None
    if done.returncode != _SUCCESS:
        raise PtliveError(f"the guest that counts failed: {done.stdout[-500:]} {done.stderr}")
    return read(done.stdout)


def read(said: str) -> list[Count]:
    """Return what a guest has counted. Raises PtliveError if its counter is not exact."""
    lines = [line.split() for line in said.splitlines()]
    if lines[:1] != [["loop", str(_LOOP)]] or lines[-1:] != [["done"]]:
        raise PtliveError(f"no exact counter: {_LOOP} instructions are {said[:80]!r}")
    rows = [line[1:] for line in lines if line[0] == "row"]
    return [Count(row[0], row[1], *(int(word) for word in row[2:])) for row in rows]
