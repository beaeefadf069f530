"""The words of the reference: what is asked, of which machine, and what comes back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

ReadQword = Callable[[int], int | None]
"""The 8 bytes at a physical address, little-endian; None where there is no memory.

Memory comes in whole 4-KByte frames: of one table either every entry can be read, or none.
"""

WalkKind = Literal["leaf", "absent", "malformed", "unreadable"]
HoleKind = Literal["absent", "malformed", "unreadable"]


@dataclass(frozen=True)
class Machine:
    """The controls that decide how addresses are translated and accesses judged.

    Raises:
        ValueError: a number that no processor has.
    """

    levels: int  # 5 if CR4.LA57 = 1, else 4 (4.1.1)
    maxphyaddr: int  # MAXPHYADDR, "M": CPUID.80000008H:EAX[7:0], at most 52 (4.1.4)
    nxe: bool  # IA32_EFER.NXE (4.1.3)
    gbpages: bool  # 1-GByte pages: CPUID.80000001H:EDX.Page1GB[bit 26] (4.1.4)
    wp: bool  # CR0.WP (4.1.3)
    smep: bool  # CR4.SMEP (4.1.3)
    smap: bool  # CR4.SMAP (4.1.3)
    pke: bool  # CR4.PKE (4.1.3)
    pkru: int  # AD0, WD0, AD1, WD1, ... from bit 0 up (4.6.2)

    def __post_init__(self) -> None:
        if self.levels not in (4, 5):
            raise ValueError(f"{self.levels} levels: the manual has 4-level and 5-level paging")
        if not 32 <= self.maxphyaddr <= 52:
            raise ValueError(f"MAXPHYADDR {self.maxphyaddr} is not in 32..52")
        if not 0 <= self.pkru < 1 << 32:
            raise ValueError(f"PKRU {self.pkru:#x} is not a 32-bit value")


@dataclass(frozen=True)
class Access:
    """One access that an instruction makes.

    Raises:
        ValueError: no byte, or more than can lie on two pages.
    """

    kind: Literal["read", "write", "fetch"]
    user: bool  # a user-mode access, made while CPL = 3 (4.6.1)
    ac: bool  # EFLAGS.AC; matters to supervisor-mode data accesses only, all explicit here
    length: int = 1  # bytes

    def __post_init__(self) -> None:
        if not 1 <= self.length <= 4096:
            raise ValueError(f"an access of {self.length} bytes: 1 to 4096 are modelled")


class Step(NamedTuple):
    """One paging-structure entry that a translation used."""

    level: int  # 1 = PTE, 2 = PDE, 3 = PDPTE, 4 = PML4E, 5 = PML5E
    entry_pa: int
    entry: int


@dataclass(frozen=True)
class Walk:
    """How far the translation of one linear address came.

    `kind` tells about the last entry of `path`: it maps a page (leaf), has P = 0 (absent), sets
    reserved bits (malformed), or references a table that lies in no memory (unreadable; with an
    empty path it is CR3 that does). All that follows `path` is None unless `kind` is "leaf",
    and `reserved` is 0 unless it is "malformed".
    """

    kind: WalkKind
    path: tuple[Step, ...]  # root first
    pa: int | None = None  # of the very byte, page offset included
    page_size: int | None = None  # bytes
    write: bool | None = None  # R/W = 1 in every entry
    user: bool | None = None  # U/S = 1 in every entry: "a user-mode address"
    execute: bool | None = None  # XD = 0 in every entry
    write_denied_by: int | None = None  # the first level from the root with R/W = 0
    user_denied_by: int | None = None  # the first level from the root with U/S = 0
    execute_denied_by: int | None = None  # the first level from the root with XD = 1
    protection_key: int | None = None  # bits 62:59 of the leaf; None also if CR4.PKE = 0
    reserved: int = 0  # the reserved bits that the last entry sets

    @property
    def leaf(self) -> Step | None:
        """The entry that maps the page."""
        return self.path[-1] if self.kind == "leaf" else None


@dataclass(frozen=True)
class Outcome:
    """What one access does: reach memory (`pa`), fault (`vector`), or cannot be told (neither).

    It cannot be told where a table lies in no memory: what a processor reads there is not the
    manual's matter.
    """

    pa: int | None  # of the first byte
    page_size: int | None  # of the page of the first byte
    vector: int | None  # 14 #PF, 13 #GP
    error_code: int | None
    cr2: int | None  # None: CR2 is not written
    level: int | None  # of the entry with P = 0, with reserved bits, or with an unreadable table
    reason: str
    accessed: tuple[int, ...] = ()  # entries whose A flag the access newly sets, in walk order
    dirty: tuple[int, ...] = ()  # entries whose D flag it newly sets: two at most, if it straddles


class Leaf(NamedTuple):
    """A range of linear addresses that one entry maps to a page."""

    va: int
    last_va: int
    level: int
    pa: int
    entry_pa: int
    entry: int
    write: bool
    user: bool
    execute: bool


class Hole(NamedTuple):
    """A range of linear addresses that one entry leaves without translation."""

    va: int
    last_va: int
    level: int
    entry_pa: int
    entry: int
    kind: HoleKind
