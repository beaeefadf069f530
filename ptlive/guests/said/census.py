"""What a Linux guest says of all its processes: lines of `mapper census`, parsed.

The kernel's word, out of /proc/PID/maps and pagemap and its own list of processes: nothing
that walks or looks for roots knows it, the tests hold those against it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ptlive.guests.said.lines import NUMBER, WORD, number, said_by

_PFN = r"0x[0-9a-f]{14}"
_PROCESS = re.compile(
    rf"process pid=(?P<pid>{NUMBER}) kind=(?P<kind>user|kernel|dead) threads=(?P<threads>{NUMBER})"
    rf" mm=(?P<mm>{WORD}) root=(?P<root>{WORD}) name=(?P<name>.*);"
)
_NUMBERS = ("pid", "threads", "mm", "root")
_AT = re.compile(rf"at pid=(?P<pid>{NUMBER}) va=(?P<va>{WORD}) pfn=(?P<pfn>{_PFN})")
_MAPPING = re.compile(
    rf"mapping pid=(?P<pid>{NUMBER}) va=(?P<va>{WORD}) last=(?P<last>{WORD})"
    rf" prot=(?P<prot>[r-][w-][x-][ps]) present=(?P<present>{NUMBER})"
    rf" swapped=(?P<swapped>{NUMBER}) weighted=(?P<weighted>{WORD}) name=(?P<name>.*);"
)
# Of mappings without struct page (VM_PFNMAP) pagemap says nothing: walk_page_test() in Linux'
# mm/pagewalk.c passes them over. Their names, arch/x86/entry/vdso/vma.c.
_UNTOLD = ("[vvar]", "[vvar_vclock]", "[vsyscall]")


@dataclass(frozen=True)
class Mapping:
    """A mapping of a process, from `va` to `last_va`.

    prot: as in maps, such as "r-xp"; name: a file, "[heap]", or ""
    present, swapped: how many of its 4K pages are, as pagemap says, which calls pages of
    a PROT_NONE mapping present
    weighted: the sum of (i + 1) * PFN over the present pages i, modulo 2**64
    """

    pid: int
    va: int
    last_va: int
    prot: str
    present: int
    swapped: int
    weighted: int
    name: str

    @property
    def told(self) -> bool:
        """Whether pagemap tells what is in it at all."""
        return self.name not in _UNTOLD

    @property
    def mapped(self) -> bool:
        """Whether what is present in it is present for the MMU too."""
        return self.prot[:3] != "---"


@dataclass
class Process:
    """A process.

    kind: "user", "kernel" (a thread of the kernel's, which has no address space), or "dead"
    mm: the kernel's address of its address space, 0 for none; equal where it is shared
    root: the physical address of its root table, the kernel's one of two; 0 if not known
    frames: some of its pages, linear address and PFN
    """

    pid: int
    kind: str
    threads: int
    mm: int
    root: int
    name: str
    mappings: list[Mapping] = field(default_factory=list)
    frames: list[tuple[int, int]] = field(default_factory=list)

    @property
    def present(self) -> int:
        """How many pages it has in memory."""
        return sum(one.present for one in self.mappings)

    @property
    def swapped(self) -> int:
        """How many pages it has swapped out."""
        return sum(one.swapped for one in self.mappings)


@dataclass
class Census:
    """All processes at one moment.

    pid: of the one that counted, which has ended
    lost: how many lines did not arrive whole
    """

    pid: int
    processes: list[Process] = field(default_factory=list)
    lost: int = 0

    @property
    def users(self) -> list[Process]:
        """The processes that have memory of their own, and are still there."""
        return [one for one in self.processes if one.kind == "user" and one.pid != self.pid]


def read_census(log: str) -> Census:
    """Return the last finished census in what a guest said. Raises PtliveError without one."""
    said = said_by(log, "census")
    found = Census(said.pid, lost=said.lost)
    by_pid: dict[int, Process] = {}
    for line in said.lines:
        if match := _PROCESS.fullmatch(line):
            pid, threads, mm, root = (number(match[name]) for name in _NUMBERS)
            process = Process(pid, match["kind"], threads, mm, root, match["name"])
            by_pid[process.pid] = process
            found.processes.append(process)
        elif (match := _AT.fullmatch(line)) and number(match["pid"]) in by_pid:
            frame = number(match["va"]), number(match["pfn"])
            by_pid[number(match["pid"])].frames.append(frame)
        elif (match := _MAPPING.fullmatch(line)) and number(match["pid"]) in by_pid:
            by_pid[number(match["pid"])].mappings.append(_mapping(match))
        else:
            found.lost += 1
    return found


def _mapping(line: re.Match[str]) -> Mapping:
    return Mapping(
        pid=number(line["pid"]),
        va=number(line["va"]),
        last_va=number(line["last"]),
        prot=line["prot"],
        present=number(line["present"]),
        swapped=number(line["swapped"]),
        weighted=number(line["weighted"]),
        name=line["name"],
    )
