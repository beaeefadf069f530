"""gdb with ptlive, run by a script; and page tables of the test's own in a menu guest."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ptlive
from ptlive.guests import menu
from ptlive.guests.elf import symbol

if TYPE_CHECKING:
    from ptlive.target.running import Guest

LOAD = Path(ptlive.__file__).parent / "gdb" / "load.py"
_SETTINGS = ("set pagination off", "set confirm off", "set architecture i386:x86-64")
PATIENCE = 100

# Bits of entries (SDM vol. 3A 4.5).
P, RW, US, A, D, XD = 1, 2, 4, 1 << 5, 1 << 6, 1 << 63
PWU = P | RW | US
FRAME = 0x1000


def gdb(guest: Guest, *commands: str) -> str:
    """Run gdb's commands on a guest that it is attached to; return all that is printed."""
    words = ["gdb", "-nx", "-batch"]
    for command in (*_SETTINGS, f"source {LOAD}", f"target remote {_address(guest)}", *commands):
        words += ["-ex", command]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBUGINFOD_URLS": ""}
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        env=environment,
        check=False,
    )
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def _address(guest: Guest) -> str:
    return guest.gdb.removeprefix("unix:")


def told(said: str) -> list[str]:
    """Return the lines that tell of a watch at stops."""
    return [
        line for line in said.splitlines() if re.match(r"ptlive watch|  (0x|from|that is)", line)
    ]


@dataclass(frozen=True)
class Tables:
    """A path of the test's own in the menu guest's live tables, from its root's entry 100 on.

    All RAM but the first 2M is mapped where it lies, for ring 0 to write.
    """

    root: int
    levels: int

    @property
    def va(self) -> int:
        """The address that the path translates."""
        va, slots = 0, (100, 1, 2, 3, 4)
        for slot in slots[: self.levels]:
            va = va << 9 | slot
        return va << 12

    def table(self, level: int) -> int:
        """Return where the table of a level is."""
        return self.root if level == self.levels else 0x6000000 + level * FRAME

    def entry(self, level: int) -> int:
        """Return where the entry of a level is."""
        return self.table(level) + 8 * (self.va >> (3 + 9 * level) & 511)

    def value(self, level: int) -> int:
        """Return the entry as it is at first."""
        return (0x6100000 | PWU | A | D) if level == 1 else self.table(level - 1) | PWU | A

    def plant(self, *, down_to: int = 1) -> list[str]:
        """Return gdb's commands that write the path, with nothing below some level."""
        written = []
        for level in range(1, self.levels):
            table = self.table(level)
            written.append(f"python gdb.selected_inferior().write_memory({table}, bytes({FRAME}))")
        entries = range(self.levels, down_to - 1, -1)
        return written + [put(self.entry(level), self.value(level)) for level in entries]


def put(address: int, value: int) -> str:
    """Return a command that has gdb write eight bytes."""
    return f"set {{unsigned long}}{address:#x} = {value:#x}"


@functools.cache
def _code() -> int:
    """Return where there is code that the menu guest needs no more."""
    return symbol(menu.ELF, "start")


def run(code: str, rdi: int = 0, rsi: int = 0) -> list[str]:
    """Return commands that have the guest execute some code, and go on until its end."""
    at = _code()
    data = bytes.fromhex(code) + b"\x90\xeb\xfe"  # nop; jmp .
    return [
        f"python gdb.selected_inferior().write_memory({at}, {data!r})",
        f"set $rdi = {rdi:#x}",
        f"set $rsi = {rsi:#x}",
        f"set $rip = {at:#x}",
        f"tbreak *{at + len(data) - 2:#x}",
        "continue",
    ]


def store(address: int, value: int) -> list[str]:
    """Return commands that have the guest store eight bytes."""
    return run("48 89 37", address, value)  # mov %rsi,(%rdi)
