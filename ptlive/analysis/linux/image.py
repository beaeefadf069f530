"""The kernel's image: where it begins, and its parts by their rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.areas import Area
from ptlive.analysis.linux.layout import (
    IMAGE_MAP,
    MODULES,
    MODULES_LAST,
    MODULES_WITHOUT_KASLR,
)

if TYPE_CHECKING:
    from ptlive.analysis.linux.leaves import KernelLeaves

# CONFIG_PHYSICAL_ALIGN is at least this on x86-64 (arch/x86/Kconfig), and KASLR moves the
# image by multiples of it.
ALIGN = 1 << 21


def image(leaves: KernelLeaves) -> tuple[Area, ...]:
    """Return the parts of the kernel's image, by address; none if there is no image.

    It is what is mapped at a constant distance from its frames and begins with code:
    the linker script (arch/x86/kernel/vmlinux.lds.S) puts the text first, then what is
    only read, then the data.
    """
    here = leaves.within(IMAGE_MAP, MODULES - 1)
    if not len(here):
        return ()
    _, which = np.unique(here.va - here.pa, return_inverse=True)
    total = np.bincount(which, weights=here.size.astype(np.float64))
    here = here.take(which == int(np.argmax(total)))
    first = int(here.va[0])
    if first % ALIGN or not here.executable.any():
        return ()
    end = int(here.last_va[-1])
    pa = int(here.pa[0])
    where = f"image at {first:#x}..{end:#x}, physical {pa:#x}..{pa + end - first:#x}"
    code = np.flatnonzero(here.executable)
    text_last = int(here.last_va[code[-1]])
    text = Area(first, text_last, "kernel text", f"executable, the first of the {where}")
    read_only = _longest(here, text_last)
    if read_only is None:
        if text_last == end:
            return (text,)
        return text, Area(text_last + 1, end, "kernel data", "the rest of the image")
    va, last_va = read_only
    parts = [text]
    if text_last + 1 < va:
        told = "between text and what is only read: padding that was given back"
        parts.append(Area(text_last + 1, va - 1, "kernel padding", told))
    told = "only read, not executable, behind the text"
    parts.append(Area(va, last_va, "kernel rodata", told))
    if last_va < end:
        parts.append(Area(last_va + 1, end, "kernel data", "the rest: data, init, per-CPU, bss"))
    return tuple(parts)


def modules(leaves: KernelLeaves, parts: tuple[Area, ...]) -> Area:
    """Return the modules' area: it begins where the image's stretch ends."""
    behind = parts[-1].last_va + 1 if parts else IMAGE_MAP
    early = leaves.within(max(behind, MODULES_WITHOUT_KASLR), MODULES - 1)
    found = leaves.within(MODULES, MODULES_LAST)
    if len(early):
        told = f"mapped from {int(early.va[0]):#x} on: a kernel without CONFIG_RANDOMIZE_BASE"
        return Area(max(behind, MODULES_WITHOUT_KASLR), MODULES_LAST, "modules", told)
    if len(found):
        told = f"fixed; the lowest mapping is at {int(found.va[0]):#x}"
    else:
        told = "fixed; nothing is mapped"
    return Area(MODULES, MODULES_LAST, "modules", told)


def _longest(leaves: KernelLeaves, text_last: int) -> tuple[int, int] | None:
    """Return the longest run behind the text that is neither written nor executed."""
    kept = (~leaves.writable) & (~leaves.executable) & (leaves.va > np.uint64(text_last))
    some = leaves.take(kept)
    if not len(some):
        return None
    begins = np.ones(len(some), dtype=np.bool_)
    begins[1:] = some.va[1:] != some.last_va[:-1] + np.uint64(1)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(some)) - 1
    length = some.last_va[last] - some.va[first]
    best = int(np.argmax(length))
    return int(some.va[first[best]]), int(some.last_va[last[best]])
