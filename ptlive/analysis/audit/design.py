"""What a known system does on purpose, so that a finding says so and does not cry wolf.

Each row is a statement about all versions of a system that its sources make, not about one
guest. What no row explains keeps its rule's severity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.analysis.audit.finding import Severity

if TYPE_CHECKING:
    from ptlive.analysis.audit.context import Context
    from ptlive.analysis.audit.finding import Rule
    from ptlive.analysis.audit.places import Rows
    from ptlive.arrays import Bool, Index


class Design(NamedTuple):
    """An explanation of what some rules see in some areas of a system.

    areas: names of the profile's areas; also_in: only frames that this area maps too
    """

    system: str
    rules: tuple[str, ...]
    areas: tuple[str, ...]
    severity: Severity
    text: str
    also_in: str | None = None


LINUX = "linux"

DESIGNS = (
    Design(
        LINUX,
        ("table-kernel",),
        ("direct map",),
        Severity.INFO,
        "Linux maps all RAM in its direct map, the page tables with it "
        "(arch/x86/mm/init.c, init_memory_mapping)",
    ),
    Design(
        LINUX,
        ("table-kernel",),
        ("kernel data", "kernel padding"),
        Severity.INFO,
        "the tables that the kernel boots with are part of its image "
        "(arch/x86/kernel/head_64.S, init_top_pgt, level2_fixmap_pgt)",
    ),
    Design(
        LINUX,
        ("wx-kernel", "kernel-text-alias"),
        ("EFI runtime",),
        Severity.LOW,
        "the firmware's runtime services, mapped as the firmware describes them, in a root "
        "of their own (arch/x86/platform/efi/efi_64.c, efi_runtime_update_mappings)",
    ),
    Design(
        LINUX,
        ("user-kernel-half",),
        ("vsyscall",),
        Severity.INFO,
        "the vsyscall page is there for old programs (vsyscall=, arch/x86/entry/vsyscall)",
    ),
    Design(
        LINUX,
        ("isolation-user-root",),
        ("cpu entry area", "espfix", "LDT remap", "vsyscall"),
        Severity.INFO,
        "what it takes to enter the kernel: entry stacks, descriptor tables, %esp fixup stacks, "
        "LDT (Documentation/arch/x86/pti.rst)",
    ),
    Design(
        LINUX,
        ("isolation-user-root",),
        ("direct map", "vmalloc", "kernel data"),
        Severity.INFO,
        "each CPU's task-state segment, which its entry area has too: the system-call entry "
        "needs a word of it by its per-CPU address (arch/x86/mm/pti.c, pti_clone_user_shared)",
        also_in="cpu entry area",
    ),
    Design(
        LINUX,
        ("isolation-user-root",),
        ("kernel text",),
        Severity.INFO,
        "the entry code, and with pti=auto and no PCID the whole kernel text, which holds no "
        "secret (arch/x86/mm/pti.c, pti_clone_entry_text, pti_clone_kernel_text)",
    ),
)


def designs(context: Context, rule: Rule) -> list[Design]:
    """Return what may explain the findings of a rule, for the system that this is."""
    system = context.profile.name if context.profile else None
    return [one for one in DESIGNS if one.system == system and rule.id in one.rules]


def explained(context: Context, design: Design, rows: Rows, some: Index) -> Bool:
    """Tell which of some regions this explains."""
    areas = context.profile.areas if context.profile else ()
    named = [at for at, area in enumerate(areas) if area.name in design.areas]
    yes = np.isin(rows.area[some], named)
    if design.also_in and yes.any():
        frames = context.frames_in(design.also_in)
        pa = rows.pa[some]
        last = pa + (rows.last_va[some] - rows.va[some])
        at = np.searchsorted(frames.first, pa, "right") - 1
        inside = (at >= 0) & (rows.times[some] == 1)
        inside[inside] = frames.last[at[inside]] >= last[inside]
        yes &= inside
    return yes
