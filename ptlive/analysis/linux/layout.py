"""Where Linux on x86-64 puts what, as data.

Documentation/arch/x86/x86_64/mm.rst; arch/x86/include/asm/pgtable_64_types.h and
page_64_types.h; the same in 6.1 and 6.12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

K, M, G, T = 1 << 10, 1 << 20, 1 << 30, 1 << 40
LAST = (1 << 64) - 1

# Memory for which the kernel makes `struct page`s at once (SECTION_SIZE_BITS of
# asm/sparsemem.h), and the size of one (include/linux/mm_types.h: aligned to 64 bytes).
SECTION = 1 << 27
STRUCT_PAGE = 64
FRAME = 4 * K

# kernel_randomize_memory (arch/x86/mm/kaslr.c) moves bases by multiples of a PUD's span.
RANDOM_STEP = G

# The image may begin anywhere in a stretch of 1G where CONFIG_RANDOMIZE_BASE is set, in
# one of 512M where it is not (KERNEL_IMAGE_SIZE); the modules begin behind it.
IMAGE_MAP = 0xFFFF_FFFF_8000_0000
MODULES = 0xFFFF_FFFF_C000_0000
MODULES_WITHOUT_KASLR = 0xFFFF_FFFF_A000_0000
MODULES_LAST = 0xFFFF_FFFF_FEFF_FFFF
CPU_ENTRY_AREA = 0xFFFF_FE00_0000_0000

# User addresses that need a fifth level, and that a program has to ask for (mm.rst).
ABOVE = 1 << 47

# The root tables of an isolated pair stand side by side, the kernel's first
# (PTI_PGTABLE_SWITCH_BIT in arch/x86/mm, kernel_to_user_pgdp in asm/pgtable.h).
USER_HALF = 1 << 12


class Slot(NamedTuple):
    """An area that is where it is in every kernel."""

    name: str
    va: int
    last_va: int
    what: str


@dataclass(frozen=True)
class Layout:
    """The layout for one number of levels.

    direct, vmalloc, vmemmap: where they begin unless they are randomised; random_end: what
    is randomised lies below; direct_bytes, vmalloc_bytes: their sizes; kasan: the shadow,
    if there is one; slots: what is never moved
    """

    direct: int
    direct_bytes: int
    vmalloc: int
    vmalloc_bytes: int
    vmemmap: int
    kasan: int
    kasan_last: int
    random_end: int
    slots: tuple[Slot, ...]


_SAME = (
    Slot("cpu entry area", CPU_ENTRY_AREA, CPU_ENTRY_AREA + 512 * G - 1, "fixed"),
    Slot("espfix", 0xFFFF_FF00_0000_0000, 0xFFFF_FF7F_FFFF_FFFF, "fixed, %esp fixup stacks"),
    Slot("EFI runtime", 0xFFFF_FFEF_0000_0000, 0xFFFF_FFFE_FFFF_FFFF, "fixed"),
    Slot("fixmap", 0xFFFF_FFFF_FF00_0000, 0xFFFF_FFFF_FF5F_FFFF, "fixed"),
    Slot("vsyscall", 0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_0FFF, "fixed, the old system calls"),
    Slot("fixmap", 0xFFFF_FFFF_FF60_1000, 0xFFFF_FFFF_FF7F_FFFF, "fixed"),
)

LAYOUTS = {
    4: Layout(
        direct=0xFFFF_8880_0000_0000,
        direct_bytes=64 * T,
        vmalloc=0xFFFF_C900_0000_0000,
        vmalloc_bytes=32 * T,
        vmemmap=0xFFFF_EA00_0000_0000,
        kasan=0xFFFF_EC00_0000_0000,
        kasan_last=0xFFFF_FBFF_FFFF_FFFF,
        random_end=CPU_ENTRY_AREA,
        slots=(
            Slot("user", 0, ABOVE - 1, "the lower half"),
            Slot("guard hole", 0xFFFF_8000_0000_0000, 0xFFFF_87FF_FFFF_FFFF, "for hypervisors"),
            Slot("LDT remap", 0xFFFF_8800_0000_0000, 0xFFFF_887F_FFFF_FFFF, "fixed, isolation"),
            *_SAME,
        ),
    ),
    5: Layout(
        direct=0xFF11_0000_0000_0000,
        direct_bytes=32 << 50,
        vmalloc=0xFFA0_0000_0000_0000,
        vmalloc_bytes=12800 * T,
        vmemmap=0xFFD4_0000_0000_0000,
        kasan=0xFFDF_0000_0000_0000,
        kasan_last=0xFFFF_FBFF_FFFF_FFFF,
        random_end=CPU_ENTRY_AREA,
        slots=(
            Slot("user", 0, ABOVE - 1, "the lower half"),
            Slot("user, above 2^47", ABOVE, (1 << 56) - 1, "only for programs that ask for it"),
            Slot("guard hole", 0xFF00_0000_0000_0000, 0xFF0F_FFFF_FFFF_FFFF, "for hypervisors"),
            Slot("LDT remap", 0xFF10_0000_0000_0000, 0xFF10_FFFF_FFFF_FFFF, "fixed, isolation"),
            *_SAME,
        ),
    ),
}
