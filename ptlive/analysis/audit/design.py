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
    from ptlive.analysis.audit.finding import Place, Rule


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


def _is_also_in(context: Context, place: Place, area: str) -> bool:
    """Tell whether all frames of a place are mapped in an area too, which is looked for once."""
    if place.pa is None or place.bytes == 0 or place.times > 1:
        return False
    frames = context.frames_in(area)
    at = np.searchsorted(frames.first, np.uint64(place.pa), "right") - 1
    return bool(at >= 0 and frames.last[at] >= np.uint64(place.pa + place.bytes - 1))


def explained(context: Context, rule: Rule, place: Place) -> Design | None:
    """Return why a system has this on purpose, if it is known."""
    system = context.profile.name if context.profile else None
    for design in DESIGNS:
        if (
            design.system == system
            and rule.id in design.rules
            and place.area in design.areas
            and (design.also_in is None or _is_also_in(context, place, design.also_in))
        ):
            return design
    return None
