"""What a bundled guest is made of, as far as the launcher must know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Boot:
    """The files that QEMU boots: its `-kernel`, `-initrd` and `-append`, or its `-bios`.

    `symbols` is an ELF file that names places in the guest, where there is one;
    `swap` the size in bytes of a disk that it may swap to, 0 for none; `without` are
    features of the CPU that TCG gets wrong, such as "cx16", and this guest is not shown.
    """

    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    symbols: Path | None = None
    swap: int = 0
    firmware: Path | None = None
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """One kind of bundled guest.

    `memory` is its usual RAM size in bytes. `ready` is a regular expression for the
    beginning of the line on the serial port by which the guest says that it is up; its
    group `levels`, if it has one, is the number of paging levels that the guest runs with.
    It may be anywhere in what was said if not `whole_lines`. `levels` are those that the
    guest can page with, the usual number first. `patience` is how many seconds it may take
    to come up. `prepare` makes the files ready and tells long work, a line each, to the
    function it is given; it raises PtliveError when something is missing.
    """

    name: str
    summary: str
    memory: int
    ready: str
    patience: float
    prepare: Callable[[Callable[[str], None]], Boot]
    levels: tuple[int, ...] = (5, 4)
    whole_lines: bool = True
