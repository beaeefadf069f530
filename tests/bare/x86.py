"""Our bare-metal x86 guests that tell on port 0xe9 what their own accesses came to."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.paging.access import ALLOWED, PAGE_FAULT, Fault, check
from ptlive.target.machine import QEMU
from tests.bare.guest import FOLDER, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ptlive.space import AddressSpace

_PROBE = re.compile(r"^probe (\S+) (\S+) (\S+) (\S+) (\S+) (\S+)$", re.MULTILINE)


class Probe(NamedTuple):
    """One access: the fault, vector 0 if there was none, and else the frame that it reached."""

    name: str
    va: int
    access: str
    vector: int
    error_code: int
    frame: int


@dataclass(frozen=True)
class Told:
    """A guest that has said all it has to say: its stub, its text, and that taken apart."""

    gdb: str
    text: str
    words: dict[str, str]
    probes: list[Probe]


@contextmanager
def booted(name: str, folder: Path, *options: str, qemu: str = QEMU) -> Iterator[Told]:
    """Boot the guest of guest/NAME and wait for the line in which it sums up."""
    log, stub = folder / "debugcon", folder / "gdb"
    command = [qemu, "-nodefaults", "-display", "none", "-no-reboot", "-debugcon", f"file:{log}"]
    command += ["-kernel", str(FOLDER / name / "build" / "guest.elf")]
    command += ["-gdb", f"unix:{stub},server=on,wait=off", *options]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (last := _last(log, name)):
            assert process.poll() is None, "QEMU ended"
            assert time.monotonic() < deadline, log.read_text()[-200:]
            time.sleep(0.05)
        text = log.read_text()
        probes = [
            Probe(which, int(va, 16), access, *(int(value, 16) for value in rest))
            for which, va, access, *rest in _PROBE.findall(text)
        ]
        words = (part.partition("=") for part in last.split())
        yield Told(f"unix:{stub}", text, {word: value for word, _, value in words}, probes)
    finally:
        process.kill()
        process.wait()


def _last(log: Path, name: str) -> str | None:
    text = log.read_text(errors="replace") if log.exists() else ""
    found = re.search(rf"^{name}: (\S+=.*)\n", text, re.MULTILINE)
    return found and found[1]


def disagreements(space: AddressSpace, probes: list[Probe]) -> list[str]:
    """Return, in words, where the guest saw another outcome than ptlive predicts."""
    wrong = []
    for access in dict.fromkeys(probe.access for probe in probes):
        some = [probe for probe in probes if probe.access == access]
        found = space.translate(np.array([probe.va for probe in some], dtype=np.uint64))
        verdicts = check(found, space.controls, ACCESS_KINDS[access])
        for row, probe in enumerate(some):
            code = int(verdicts.error_code[row])
            if code & Fault.RSVD:
                code &= ~Fault.P  # TCG leaves it out (ptlive/verify/quirks.py)
            told = int(verdicts.vector[row]), code
            frame = int(found.pa[row]) >> 12 if told[0] == ALLOWED else 0
            if (*told, frame) != (probe.vector, probe.error_code, probe.frame):
                wrong.append(f"{probe}: ptlive says {told}, frame {frame:#x}")
    return wrong


def is_fault(probe: Probe) -> bool:
    """Tell whether an access ended with a page fault."""
    return probe.vector == PAGE_FAULT
