"""Extended page tables of Intel's VMX: from guest-physical to physical addresses.

SDM vol. 3C 28.3 "The Extended Page Table Mechanism (EPT)", tables 28-1 to 28-7 (formats of the
entries), 28.3.3.1 "EPT Misconfigurations".
"""

from __future__ import annotations

from typing import NamedTuple

from ptlive.paging.format import (
    ALWAYS,
    NEVER,
    AnyOf,
    Bits,
    Field,
    Format,
    Level,
    Match,
    Right,
    Window,
    Wrong,
    ones,
)
from ptlive.paging.formats.x86_64 import (
    ADDRESS,
    INDEX_BITS,
    PAGE1GB_SHIFT,
    PAGE_SHIFT,
    PHYSICAL_LIMIT,
    Row,
)

READ, WRITE, EXECUTE = 1 << 0, 1 << 1, 1 << 2
MEMORY_TYPE = 7 << 3
LARGE = 1 << 7
USER_EXECUTE = 1 << 10
#: Memory types that do not exist (28.3.3.1); 0 is UC, 1 WC, 4 WT, 5 WP, 6 WB.
NO_MEMORY_TYPE = (2, 3, 7)


# Linux has no names for these entries; KVM names the size of a level's pages (pgtable_types.h).
ROWS = (
    Row("EPT PTE", "PG_LEVEL_4K", leaf=True),
    Row("EPT PDE", "PG_LEVEL_2M", leaf=True),
    Row("EPT PDPTE", "PG_LEVEL_1G", leaf=True),
    Row("EPT PML4E", "PG_LEVEL_512G"),
    Row("EPT PML5E", "PG_LEVEL_256T"),
)
NAMES = {4: "ept", 5: "ept-5level"}
# Beside it bit 2 is for supervisor-mode linear addresses alone.
BY_USERS = Right("user-execute", USER_EXECUTE)


class Features(NamedTuple):
    """What a CPU has, and how it is set up (28.3.2, appendix A.10).

    gbpages, execute_only: of IA32_VMX_EPT_VPID_CAP, bits 17 and 0
    mode_based: the VM-execution control "mode-based execute control for EPT"
    accessed: bit 6 of EPTP, whether bits 8 and 9 are the accessed and dirty flags
    """

    gbpages: bool = True
    execute_only: bool = True
    mode_based: bool = False
    accessed: bool = True


#: What calls no entry malformed that might be valid.
DEFAULT = Features()


def make(levels: int, features: Features = DEFAULT, *, maxphyaddr: int = PHYSICAL_LIMIT) -> Format:
    """Return the format of tables of 4 or 5 levels; maxphyaddr: the physical-address width."""
    rights = [Right("read", READ), Right("write", WRITE), Right("execute", EXECUTE)]
    if features.mode_based:
        rights.append(BY_USERS)
    made = tuple(
        _level(row, lvl, features, maxphyaddr) for lvl, row in enumerate(ROWS[:levels], start=1)
    )
    width = made[-1].span_bits
    return Format(
        name=f"{NAMES[levels]}{'-mbe' if features.mode_based else ''}",
        levels=made,
        windows=(Window(0, ones(0, width)),),
        root_mask=ones(PAGE_SHIFT, maxphyaddr),
        # "An EPT paging-structure entry is present if any of bits 2:0 is 1", or bit 10 (28.3.2).
        present=AnyOf(sum(right.mask for right in rights)),
        rights=tuple(rights),
        outside=f"has more than the {width} bits that these tables translate",
    )


def _level(row: Row, lvl: int, features: Features, maxphyaddr: int) -> Level:
    shift = PAGE_SHIFT + INDEX_BITS * (lvl - 1)
    leaf_allowed = row.leaf and (features.gbpages or shift < PAGE1GB_SHIFT)
    above = ones(maxphyaddr, PHYSICAL_LIMIT)
    address = ADDRESS & ~above
    leaf: Match = ALWAYS if lvl == 1 else Match(LARGE, LARGE) if leaf_allowed else NEVER
    return Level(
        spec=row.spec,
        linux=row.linux,
        shift=shift,
        index_bits=INDEX_BITS,
        leaf=leaf,
        table_address=Bits(address),
        leaf_address=Bits(address & ~ones(0, shift)),
        # "6:3 Reserved (must be 0)"; bit 7 too where no page may be.
        reserved_table=above | ones(3, 7) | (0 if leaf_allowed else LARGE),
        reserved_leaf=above | ones(PAGE_SHIFT, shift),
        fields=_fields(features, lvl),
        wrong=_wrong(features, leaf),
    )


def _wrong(features: Features, leaf: Match) -> tuple[Wrong, ...]:
    """Return the misconfigurations that are no reserved bits (28.3.3.1)."""
    found = [Wrong(Match(READ | WRITE, WRITE), "allows writing, but not reading")]
    if not features.execute_only:
        executable = EXECUTE | (USER_EXECUTE if features.mode_based else 0)
        for bit in (EXECUTE, USER_EXECUTE):
            if bit & executable:
                test = Match(READ | bit, bit)
                found.append(Wrong(test, "allows execution, but not reading"))
    for number in NO_MEMORY_TYPE if leaf != NEVER else ():
        test = Match(leaf.mask | MEMORY_TYPE, leaf.value | number << 3)
        found.append(Wrong(test, f"has the memory type {number}, which is reserved"))
    return tuple(found)


def _fields(features: Features, lvl: int) -> tuple[Field, ...]:
    flags = (Field("A", 1 << 8), Field("D", 1 << 9, tables=False)) if features.accessed else ()
    return (
        Field("R", READ),
        Field("W", WRITE),
        Field("X", EXECUTE),
        Field("MT", MEMORY_TYPE, tables=False, attribute=True),
        Field("IPAT", 1 << 6, tables=False, attribute=True),
        *((Field("PS", LARGE),) if lvl > 1 else ()),
        *flags,
        *((Field("XU", USER_EXECUTE),) if features.mode_based else ()),
        Field("VGP", 1 << 57, tables=False),  # verify guest paging
        Field("PW", 1 << 58, tables=False),  # paging-write access
        Field("SSS", 1 << 60, tables=False),  # supervisor shadow stack
        *((Field("SPP", 1 << 61, tables=False),) if lvl == 1 else ()),  # sub-page permissions
        Field("SVE", 1 << 63, tables=False),  # suppress #VE
    )
