"""What a Linux guest's kernel says of itself: lines of `mapper kernel`, parsed.

Symbols, with the words at their addresses, from /proc/kallsyms and /proc/kcore; the
segments of /proc/kcore, which are the kernel's areas; /proc/iomem, modules and swaps; and
roots that are no process's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ptlive.guests.said.lines import NUMBER, WORD, number, said_by

_SYMBOL = re.compile(
    rf"symbol va=(?P<va>{WORD}) word=(?P<word>{WORD}) name=(?P<name>[A-Za-z0-9_.]+)"
    r"(?P<unread> unread)?;"
)
_SEGMENT = re.compile(rf"segment va=(?P<va>{WORD}) size=(?P<size>{WORD}) pa=(?P<pa>{WORD})")
_ROOT = re.compile(rf"root pa=(?P<pa>{WORD}) name=(?P<name>[a-z_]+);")
_IOMEM = re.compile(
    rf"iomem first=(?P<first>{WORD}) last=(?P<last>{WORD}) depth=(?P<depth>{NUMBER})"
    r" name=(?P<name>.*);"
)
_MODULE = re.compile(rf"module va=(?P<va>{WORD}) size=(?P<size>{NUMBER}) name=(?P<name>.*);")
_SWAP = re.compile(r"swap name=(?P<name>.*);")
_NO_ADDRESS = (1 << 64) - 1


@dataclass(frozen=True)
class Segment:
    """A piece of the kernel's half, as /proc/kcore has it; `pa` is None where it has none."""

    va: int
    last_va: int
    pa: int | None


@dataclass(frozen=True)
class Place:
    """A line of /proc/iomem; `depth` tells what it lies in."""

    pa: int
    last_pa: int
    depth: int
    name: str


@dataclass(frozen=True)
class Module:
    """A loaded module: where its code begins; newer kernels keep its data elsewhere."""

    va: int
    size: int
    name: str


@dataclass
class KernelSaid:
    """What the kernel says of itself.

    symbols: addresses by name; words: the 8 bytes there, where they can be read
    roots: physical addresses of root tables by name: init_mm, efi_mm, poking_mm, trampoline
    """

    symbols: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    roots: dict[str, int] = field(default_factory=dict)
    iomem: list[Place] = field(default_factory=list)
    modules: list[Module] = field(default_factory=list)
    swaps: list[str] = field(default_factory=list)
    lost: int = 0

    @property
    def ram(self) -> list[Place]:
        """What the kernel uses as RAM."""
        return [place for place in self.iomem if place.name == "System RAM"]


def read_kernel(log: str) -> KernelSaid:
    """Return the last finished report in what a guest said. Raises PtliveError without one."""
    said = said_by(log, "kernel")
    found = KernelSaid(lost=said.lost)
    for line in said.lines:
        found.lost += not _take(found, line)
    return found


def _take(into: KernelSaid, line: str) -> bool:
    """Add what a line says; return whether it says anything."""
    if match := _SYMBOL.fullmatch(line):
        into.symbols[match["name"]] = number(match["va"])
        if not match["unread"]:
            into.words[match["name"]] = number(match["word"])
    elif match := _SEGMENT.fullmatch(line):
        va, size, pa = (number(match[name]) for name in ("va", "size", "pa"))
        into.segments.append(Segment(va, va + size - 1, None if pa == _NO_ADDRESS else pa))
    elif match := _ROOT.fullmatch(line):
        into.roots[match["name"]] = number(match["pa"])
    elif match := _IOMEM.fullmatch(line):
        first, last, depth = (number(match[name]) for name in ("first", "last", "depth"))
        into.iomem.append(Place(first, last, depth, match["name"]))
    elif match := _MODULE.fullmatch(line):
        into.modules.append(Module(number(match["va"]), number(match["size"]), match["name"]))
    elif match := _SWAP.fullmatch(line):
        into.swaps.append(match["name"])
    else:
        return False
    return True
