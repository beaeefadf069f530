"""Our bare-metal guests of other architectures: built, booted, and heard."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "guest"
PATIENCE = 60.0

_PROBE = re.compile(
    r"probe (0x[0-9a-f]+) (\S+) (?:seen (0x[0-9a-f]+)|fault (0x[0-9a-f]+) (0x[0-9a-f]+) "
    r"(0x[0-9a-f]+))$"
)


class Probe(NamedTuple):
    """One access: what was read (which names its frame), or the fault, its code and address."""

    state: tuple[tuple[str, int], ...]
    va: int
    access: str
    seen: int | None
    fault: int
    code: int
    address: int


@dataclass
class Said:
    """All that a guest said: single values by name, and probes."""

    words: dict[str, str] = field(default_factory=dict)
    probes: list[Probe] = field(default_factory=list)


@dataclass(frozen=True)
class Machine:
    """A QEMU machine, and the compiler for its guest.

    chosen: where the guest's word `chosen` lies; big: whether it is big-endian
    made: what QEMU boots, of what is built
    """

    folder: str
    qemu: str
    compiler: str
    options: tuple[str, ...]
    chosen: int
    big: bool = False
    made: str = "guest.elf"


@dataclass(frozen=True)
class Booted:
    """A guest that has said all it has to say, and rests."""

    gdb: str
    said: Said


def read(text: str) -> Said:
    """Read the lines that a guest wrote to its UART."""
    said = Said()
    state: tuple[tuple[str, int], ...] = ()
    for line in text.replace("\r", "").splitlines():
        name, _, rest = line.partition(" ")
        if found := _PROBE.match(line):
            va, access, seen, *fault = found.groups()
            numbers = [int(one, 16) if one else 0 for one in fault]
            probe = Probe(state, int(va, 16), access, int(seen, 16) if seen else None, *numbers)
            said.probes.append(probe)
        elif name == "state":
            parts = (part.partition("=") for part in rest.split())
            state = tuple((name, int(value, 0)) for name, _, value in parts)
        else:
            said.words[name] = rest
    return said


def built(machine: Machine) -> Path:
    """Return the guest's ELF file, made if need be. Skips the test where that cannot be."""
    for tool in (machine.compiler, machine.qemu):
        if not shutil.which(tool):
            reason = f"{tool} is missing: scripts/setup --guests installs it"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
    made = f"{machine.folder}/build/{machine.made}"
    with (FOLDER / "Makefile").open() as lock:
        # Other workers may want it, too.
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", str(FOLDER), made], check=True, timeout=PATIENCE)
    return FOLDER / made


@contextmanager
def booted(machine: Machine, chosen: int, folder: Path) -> Iterator[Booted]:
    """Boot a guest, wait until it has said all, and let it rest meanwhile."""
    log, stub = folder / "serial", folder / "gdb"
    order = ",data-be=on" if machine.big else ""
    process = subprocess.Popen(
        [
            *(machine.qemu, *machine.options, "-display", "none", "-nodefaults"),
            *("-serial", f"file:{log}", "-gdb", f"unix:{stub},server=on,wait=off"),
            *("-device", f"loader,addr={machine.chosen:#x},data={chosen},data-len=8{order}"),
        ],
        stdin=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not log.exists() or not log.read_text(errors="replace").endswith("done\n"):
            assert process.poll() is None, "QEMU ended"
            assert time.monotonic() < deadline, "the guest does not come to its end"
            time.sleep(0.05)
        yield Booted(f"unix:{stub}", read(log.read_text()))
    finally:
        process.kill()
        process.wait()
