"""QEMU's debug walker: a second opinion, and not the MMU.

It is what `gva2gpa`, gdb's virtual reads and the monitor's `x` use
(target/i386/helper.c, x86_cpu_get_phys_page_attrs_debug). It follows present
entries to a physical address and knows no rights and no reserved bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.oracle.ground import physical_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.wire.stub import Stub


def ask(stub: Stub, vcpu: int, vas: Sequence[int]) -> list[int | None]:
    """Return the physical address that the debug walker gives for each address, or None.

    Raises PtliveError if QEMU's monitor has no gva2gpa.
    """
    return physical_many(stub, vcpu, list(vas))
