"""A QEMU as a user starts it: the menu guest on a machine of any kind."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.guests import menu
from ptlive.target.machine import QEMU

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READY = "menu: levels="


@dataclass(frozen=True)
class OwnQemu:
    """Where its stub and its QMP listen, and what the guest said."""

    gdb: str
    qmp: str
    said: str
    pid: int


@contextmanager
def own_qemu(folder: Path, *options: str, qmp: bool = False) -> Iterator[OwnQemu]:
    """Boot the menu guest, with nothing but a stub, options, and perhaps QMP."""
    command = [QEMU, "-nodefaults", "-display", "none", "-no-reboot", "-kernel", str(menu.ELF)]
    command += ["-gdb", f"unix:{folder}/gdb,server=on,wait=off"]
    command += ["-debugcon", f"file:{folder}/said", *options]
    if qmp:
        command += ["-qmp", f"unix:{folder}/qmp,server=on,wait=off"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline, said = time.monotonic() + 30, ""
        while READY not in said:
            assert process.poll() is None, "QEMU did not start"
            assert time.monotonic() < deadline, said
            time.sleep(0.02)
            path = folder / "said"
            said = path.read_text() if path.exists() else ""
        yield OwnQemu(f"unix:{folder}/gdb", f"unix:{folder}/qmp", said, process.pid)
    finally:
        process.kill()
        process.wait()
