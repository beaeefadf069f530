"""What a guest is made of, as far as the launcher must know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ptlive.guests.ready import Ready


@dataclass(frozen=True)
class Boot:
    """The files that QEMU boots: its `-kernel`, `-initrd` and `-append`, or its `-bios`.

    `symbols` is an ELF file that names places in the guest, where there is one;
    `swap` the size in bytes of a disk that it may swap to, 0 for none; `without` are
    features of the CPU that TCG gets wrong, such as "cx16", and this guest is not shown.
    `disks` and `cdrom` are images, which stay as they are; `debug_exit` is the port of
    QEMU's isa-debug-exit, None for no such device; `screen` tells whether it has a VGA.
    """

    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    symbols: Path | None = None
    swap: int = 0
    firmware: Path | None = None
    without: tuple[str, ...] = ()
    disks: tuple[Path, ...] = ()
    cdrom: Path | None = None
    debug_exit: int | None = None
    screen: bool = False


@dataclass(frozen=True)
class Recipe:
    """One kind of guest.

    `memory` is its usual RAM size in bytes. `ready` tells when it is up, and `patience` how
    many seconds that may take. `levels` are those that the guest can page with, the usual
    number first; empty where that is not known. `prepare` makes the files ready and tells
    long work, a line each, to the function it is given; it raises PtliveError when something
    is missing.
    """

    name: str
    summary: str
    memory: int
    ready: Ready
    patience: float
    prepare: Callable[[Callable[[str], None]], Boot]
    levels: tuple[int, ...] = (5, 4)

    @property
    def usual_levels(self) -> int | None:
        """How many levels it pages with if nothing else is said; None where that is its own."""
        return self.levels[0] if self.levels else None
