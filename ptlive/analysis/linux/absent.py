"""What Linux on x86-64 keeps in entries that are not present.

    | 63-59 | 58-9    | 8 | 7 | 6 5 | 4 | 3 | 2 | 1 | 0 |
    | type  | ~offset | 0 | 0 | X X | X | E | F | SD| 0 |   swap entry
    | flags, ~frame   | 1 | flags                   | 0 |   PROT_NONE

arch/x86/include/asm/pgtable_64.h ("Encode and de-code a swap entry"), pgtable-invert.h (frames
are inverted where P is clear, against L1TF), include/linux/swap.h and swapops.h (types). E:
exclusive, F: write-protected by userfaultfd, SD: soft-dirty; X may be set by hardware.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.analysis.profile import Explained

if TYPE_CHECKING:
    from ptlive.arrays import U8, U64, Bool

NAMES = (
    "never mapped",
    "swapped out",
    "migration, device or poison",
    "marker",
    "PROT_NONE",
    "page being split",
    "taken out by the kernel",
    "unexplained",
)
_NEVER, _SWAP, _SPECIAL, _MARKER, _NONE, _SPLIT, _TAKEN, _OTHER = range(len(NAMES))

PROT_NONE = 1 << 8  # _PAGE_PROTNONE: the bit that is G in a present entry
PSE = 1 << 7
FLAGS = {"soft-dirty": 1 << 1, "write-protected by userfaultfd": 1 << 2, "exclusive": 1 << 3}
TYPE_SHIFT, TYPE_BITS = 59, 5
OFFSET_SHIFT, OFFSET_BITS = 9, 50
FRAME_SHIFT, FRAME_END = 12, 52
# Of an offset that is a frame's number: the rest is flags (SWP_MIG_YOUNG_BIT), which stand
# here with four levels, and higher with five.
FRAME_BITS = 34

# No swap area has 2**43 pages, and no frame's number so many bits: in a swap entry the upper
# bits of the inverted offset are ones. What has its flags there is an entry that was present
# and lost P, as set_memory_np (arch/x86/mm/pat/set_memory.c) leaves it: A and D are still set.
OFFSET_HIGH = ((1 << OFFSET_BITS) - (1 << 43)) << OFFSET_SHIFT

# Above this level nothing but tables is ever put into an entry.
HIGHEST = 3

# The last types are no swap areas. Which is which depends on the configuration and on the
# version: include/linux/swap.h numbers them in this order, up to the last.
_POISON = ("poisoned page",)
_MIGRATION = ("migration, read", "migration, read, exclusive", "migration, write")
_DEVICE = (
    "device, write",
    "device, read",
    "device, exclusive write",
    "device, exclusive read",
)
_MARKER_6_2 = ("marker",)
_MARKER_6_1 = ("marker", "swap-in error")
_KINDS = tuple(
    _POISON + _MIGRATION + device + marker
    for device in ((), _DEVICE)  # CONFIG_DEVICE_PRIVATE
    for marker in (_MARKER_6_2, _MARKER_6_1)
)
# Below this every configuration has swap areas.
FIRST_SPECIAL = (1 << TYPE_BITS) - max(map(len, _KINDS))
# What a marker keeps, a bit each (PTE_MARKER_UFFD_WP and so on).
MARKERS = ("write-protected by userfaultfd", "poisoned", "guard")


def absent(lvl: int, entries: U64, kernel: Bool | bool = False) -> tuple[U8, tuple[str, ...]]:
    """Explain entries that are not present: codes, uint8[n], and the names of the codes.

    kernel: which of them translate addresses of the kernel; there are no swap entries there
    """
    kind = entries >> np.uint64(TYPE_SHIFT)
    codes = np.full(entries.size, _SWAP, dtype=np.uint8)
    codes[kind >= np.uint64(FIRST_SPECIAL)] = _SPECIAL
    codes[kind == np.uint64((1 << TYPE_BITS) - 1)] = _MARKER
    high = np.uint64(OFFSET_HIGH)
    codes[(entries & high) != high] = _TAKEN
    codes[(entries & np.uint64(PSE)) != 0] = _SPLIT if lvl > 1 else _OTHER
    codes[(entries & np.uint64(PROT_NONE)) != 0] = _NONE
    codes[np.broadcast_to(kernel, entries.shape)] = _TAKEN
    if lvl > HIGHEST:
        codes[:] = _OTHER
    codes[entries == 0] = _NEVER
    return codes, NAMES


def explain(lvl: int, entry: int, kernel: bool = False) -> Explained:
    """Explain one entry that is not present, with its details."""
    codes, _ = absent(lvl, np.array([entry], dtype=np.uint64), kernel)
    code = int(codes[0])
    name = NAMES[code]
    if code in (_NEVER, _OTHER):
        return Explained(name, {}, name)
    if code in (_SWAP, _SPECIAL, _MARKER):
        return _swap_entry(code, entry)
    frame, inverted = _frame(entry)
    told = f"frame {frame:#x}{', inverted in the entry' if inverted else ''}"
    what = {
        _NONE: "PROT_NONE, or taken away to see who uses it (NUMA balancing)",
        _SPLIT: "a page of this level that is being split",
        _TAKEN: "taken out by the kernel (freed parts of its image, poison)",
    }[code]
    return Explained(name, {"frame": frame}, f"{what}: {told}")


def swap_fields(entry: int) -> tuple[int, int]:
    """Return type and offset of a swap entry."""
    kind = entry >> TYPE_SHIFT & ((1 << TYPE_BITS) - 1)
    return kind, ~entry >> OFFSET_SHIFT & ((1 << OFFSET_BITS) - 1)


def _swap_entry(code: int, entry: int) -> Explained:
    """Explain a swap entry; what its type means is only sure of the first ones."""
    kind, offset = swap_fields(entry)
    flags = [name for name, mask in FLAGS.items() if entry & mask]
    values = {"type": kind, "offset": offset}
    if code == _SWAP:
        told = f"swapped out: area {kind}, page {offset:#x}"
        return Explained(NAMES[code], values, ", ".join([told, *flags]))
    after = (1 << TYPE_BITS) - kind
    may_be = [one[-after] if after <= len(one) else f"area {kind}" for one in _KINDS]
    told = f"swap type {kind}, which the kernel's configuration makes one of: "
    told += "; ".join(dict.fromkeys(may_be))
    if code == _MARKER:
        kept = [name for bit, name in enumerate(MARKERS) if offset >> bit & 1]
        told += f" (as a marker: {', '.join(kept) or 'nothing'})"
    else:
        frame = (offset & ((1 << FRAME_BITS) - 1)) << FRAME_SHIFT
        told += f" (then of frame {frame:#x})"
    return Explained(NAMES[code], values, ", ".join([told, *flags]))


def _frame(entry: int) -> tuple[int, bool]:
    """Return the frame of an entry that is not present, and whether it was inverted.

    Kernels from 4.19 on invert it, so that it points above all memory.
    """
    mask = (1 << FRAME_END) - (1 << FRAME_SHIFT)
    inverted = bool(entry >> (FRAME_END - 1) & 1)
    return (~entry if inverted else entry) & mask, inverted
