"""An instruction explained: what it touches, what that gets, and the fault that it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptlive.analysis.explain.fault import Taken
    from ptlive.analysis.explain.judge import Judged
    from ptlive.analysis.instruction.touches import Instruction
    from ptlive.analysis.translation import Translation


@dataclass(frozen=True, eq=False)
class Explanation:
    """An instruction, its accesses, and the page fault that it took, if it took one.

    bits, cpl, rflags: of the code, when the instruction began
    first: the number of the first access that is not allowed
    handler: where the vCPU stands, if it has just taken a page fault
    cr2: the address of the last page fault, whenever that was, if none is explained
    """

    bits: int
    cpl: int
    rflags: int
    instruction: Instruction
    judged: list[Judged]
    first: int | None
    fault: Taken | None
    handler: int | None
    cr2: Translation | None
