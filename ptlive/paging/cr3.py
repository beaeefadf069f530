"""CR3 taken apart: the root table, the PCID, and what else is set (SDM vol. 3A 4.5, table 4-12)."""

from __future__ import annotations

from typing import NamedTuple

from ptlive.paging.control import CR3_LAM_U48, CR3_LAM_U57, CR4

_LOW = 0xFFF
CR3_ADDRESS = ~_LOW
_WORDS = {3: "PWT", 4: "PCD"}
# In a value that is loaded: keep what the TLB has of this PCID (SDM vol. 3A 4.10.4.1). It is
# not kept in the register.
_NO_FLUSH = 63
_LAM = {CR3_LAM_U57: "LAM_U57", CR3_LAM_U48: "LAM_U48"}
_PHYSICAL_LIMIT = 52


class Cr3(NamedTuple):
    """The parts of a CR3: pcid is None where PCIDs are off; flags: the names of other bits."""

    value: int
    pcid: int | None
    flags: tuple[str, ...]


def take_apart(value: int, cr4: int, maxphyaddr: int | None, root_mask: int = CR3_ADDRESS) -> Cr3:
    """Return what CR3 holds beside the address of the root table.

    root_mask: which bits are that address; with PAE there are more (SDM vol. 3A 4.4.1)
    """
    flags = []
    pcid = value & _LOW if cr4 & CR4.PCIDE else None
    if pcid is None:
        low = value & _LOW & ~root_mask
        flags += [_WORDS.get(bit, f"bit {bit}") for bit in range(12) if low >> bit & 1]
    for bit in range(maxphyaddr or _PHYSICAL_LIMIT, 64):
        if value >> bit & 1:
            known = "no-flush (bit 63)" if bit == _NO_FLUSH else f"reserved bit {bit}"
            flags.append(_LAM.get(1 << bit, known))
    return Cr3(value, pcid, tuple(flags))
