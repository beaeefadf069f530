"""EPT: SDM vol. 3C, 28.3 "The Extended Page Table Mechanism (EPT)".

One paragraph of code for each level; numbers are those of tables 28-1 to 28-6.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .bits import bits, field
from .terms import ReadQword, Step

R, W, X, LARGE, XU = 1 << 0, 1 << 1, 1 << 2, 1 << 7, 1 << 10


@dataclass(frozen=True)
class Vmx:
    """What decides how guest-physical addresses are translated."""

    levels: int  # bits 5:3 of EPTP, plus 1
    maxphyaddr: int  # "N"
    gbpages: bool  # IA32_VMX_EPT_VPID_CAP[17]
    execute_only: bool  # IA32_VMX_EPT_VPID_CAP[0]
    mode_based: bool  # the "mode-based execute control for EPT" VM-execution control


class EptSlot(NamedTuple):
    """A leaf or a hole: `kind` is "leaf", or what of a hole; rights are R, W, X, XU."""

    va: int
    last_va: int
    level: int
    kind: str
    pa: int
    entry_pa: int
    entry: int
    rights: tuple[bool, bool, bool, bool]


class EptWalk(NamedTuple):
    """How far a translation came; `kind` as of `Walk`."""

    kind: str
    path: tuple[Step, ...]
    pa: int | None = None
    page_size: int | None = None


# "An EPT paging-structure entry is present if any of bits 2:0 is 1"; with mode-based execute
# control, "if any of bits 2:0 or bit 10 is 1".
def present(machine: Vmx, entry: int) -> bool:
    """Tell whether an entry is present."""
    return bool(entry & (R | W | X)) or (machine.mode_based and bool(entry & XU))


# 28.3.3.1: "An EPT misconfiguration occurs if translation of a guest-physical address encounters
# an EPT paging-structure entry that meets any of the following conditions".
def misconfigured(machine: Vmx, level: int, entry: int) -> bool:
    """Tell whether a present entry of a level is misconfigured."""
    # "Bit 0 of the entry is clear (indicating that data reads are not allowed) and any of the
    # following hold: bit 1 is set; the processor does not support execute-only translations and
    # either bit 2 is set, or mode-based execute control is 1 and bit 10 is set."
    if not entry & R:
        if entry & W:
            return True
        if not machine.execute_only:
            if entry & X:
                return True
            if machine.mode_based and entry & XU:
                return True
    # "A reserved bit is set. This includes the setting of a bit in the range 51:12 that is beyond
    # the logical processor's physical-address width."
    if entry & bits(51, machine.maxphyaddr):
        return True
    if level in (4, 5):  # tables 28-1 and 28-2: 7:3
        return bool(entry & bits(7, 3))
    if level == 3 and entry & LARGE and not machine.gbpages:  # only "if 1-GByte pages"
        return True
    maps_page = level == 1 or bool(entry & LARGE)
    if not maps_page:  # tables 28-4 and 28-6: 6:3
        return bool(entry & bits(6, 3))
    if level == 3 and entry & bits(29, 12):  # table 28-3
        return True
    if level == 2 and entry & bits(20, 12):  # table 28-5
        return True
    # "The entry is used to map a page and bits 5:3 (specifying the EPT memory type) are 2, 3, or
    # 7 (these values are reserved)."
    return field(entry, 5, 3) in (2, 3, 7)


def translate(machine: Vmx, read_qword: ReadQword, eptp: int, gpa: int) -> EptWalk:
    """Translate a guest-physical address that the tables span."""
    path: list[Step] = []
    table = eptp & bits(machine.maxphyaddr - 1, 12)
    for level in range(machine.levels, 0, -1):
        # Bits 56:48, 47:39, 38:30, 29:21 and 20:12 of the address, by 8 bytes each.
        low = {5: 48, 4: 39, 3: 30, 2: 21, 1: 12}[level]
        entry_pa = table | field(gpa, low + 8, low) << 3
        entry = read_qword(entry_pa)
        if entry is None:
            return EptWalk("unreadable", tuple(path))
        path.append(Step(level, entry_pa, entry))
        if not present(machine, entry):
            return EptWalk("absent", tuple(path))
        if misconfigured(machine, level, entry):
            return EptWalk("malformed", tuple(path))
        if level == 1 or (level < 4 and entry & LARGE):
            pa = (entry & bits(51, low)) | (gpa & bits(low - 1, 0))
            return EptWalk("leaf", tuple(path), pa, 1 << low)
        table = entry & bits(51, 12)
    raise AssertionError("an EPT PTE maps a page")


def rights(path: tuple[Step, ...]) -> tuple[bool, bool, bool, bool]:
    """Fold R, W, X and XU: "the logical-AND of bit 0 in the entries used", and so on."""
    r, w, x, xu = (all(step.entry & bit for step in path) for bit in (R, W, X, XU))
    return r, w, x, xu


def enumerate_slots(machine: Vmx, read_qword: ReadQword, eptp: int) -> Iterator[EptSlot]:
    """List every leaf and every hole, by walking to each in turn."""
    gpa = 0
    while gpa < 1 << (12 + 9 * machine.levels):
        walk = translate(machine, read_qword, eptp, gpa)
        if not walk.path:
            raise ValueError(f"the root table at {eptp:#x} is no memory")
        last = walk.path[-1]
        end = gpa | bits(11 + 9 * (last.level - 1), 0)
        yield EptSlot(
            gpa, end, last.level, walk.kind, walk.pa or 0, last.entry_pa, last.entry,
            rights(walk.path),
        )  # fmt: skip
        gpa = end + 1


class EptOutcome(NamedTuple):
    """An exit's basic reason and its qualification's bits 6:0; None: no exit, or not told."""

    reason: int | None
    qualification: int = 0
    told: bool = True


def judge(machine: Vmx, walk: EptWalk, kind: str, user: bool) -> EptOutcome:
    """Judge an access to the page that a guest's translation led to (28.3.3.2, table 27-7)."""
    if walk.kind == "unreadable":
        return EptOutcome(None, told=False)
    if walk.kind == "malformed":
        return EptOutcome(49)
    r, w, x, xu = rights(walk.path)
    if kind == "read":
        allowed, asked = r, 1 << 0
    elif kind == "write":
        allowed, asked = w, 1 << 1
    elif machine.mode_based and user:
        # "Bit 10: ... the translation of a user-mode linear address".
        allowed, asked = xu, 1 << 2
    else:
        allowed, asked = x, 1 << 2
    if walk.kind == "leaf" and allowed:
        return EptOutcome(None)
    # Bits 3, 4, 5: AND of bits 0, 1, 2 of all entries used. Bit 6: of bit 10, if mode-based
    # execute control is 1, else undefined. An entry that is not present has none of them.
    qualification = asked | r << 3 | w << 4 | x << 5 | (xu << 6 if machine.mode_based else 0)
    return EptOutcome(48, qualification)
