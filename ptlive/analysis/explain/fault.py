"""A page fault that was taken: which access it was, and whether the tables still say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access, AccessKind
from ptlive.analysis.explain.causes import Cause, Surroundings, causes
from ptlive.analysis.explain.fate import Fate, Space, fate_of
from ptlive.paging.access import Controls, Fault
from ptlive.paging.words import outcome_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.analysis.explain.frame import Frame
    from ptlive.analysis.explain.judge import Judged

_RESERVED_QUIRK = (
    "but for P, which QEMU's TCG leaves 0 for a reserved bit (the manual has P=1; "
    "quirk tcg-rsvd-without-p)"
)
_WORDS = {
    Fault.P: ("an entry was not present", "all entries were present"),
    Fault.RSVD: ("no reserved bit was set", "a reserved bit was set"),
    Fault.PK: ("no protection key denied it", "a protection key denied it"),
}


@dataclass(frozen=True)
class Taken:
    """A page fault that was taken.

    source: where error code and address come from; frame: what was pushed, if it is known
    number: which of the instruction's accesses it is, None if none reaches the address
    now: what the same access gets by the tables as they are
    agrees: whether that is what the error code says, None if the tables do not decide
    difference: what is different, in words; causes: if the access is allowed now, why not then
    """

    error_code: int
    cr2: int
    source: str
    frame: Frame | None
    kind: AccessKind
    number: int | None
    now: Fate
    agrees: bool | None
    difference: str
    causes: tuple[Cause, ...]


def explain_fault(
    error_code: int,
    cr2: int,
    judged: Sequence[Judged],
    space: Space,
    controls: Controls,
    around: Surroundings,
    *,
    source: str,
    frame: Frame | None = None,
) -> Taken:
    """Hold a page fault against the tables as they are now.

    judged: the accesses of the instruction that faulted, nothing if it is not known
    space: the address space that the CPU used; around: what else decides
    """
    kind = kind_of(error_code, around)
    translations = space.translate(np.array([cr2], dtype=np.uint64))
    now = fate_of(translations, 0, controls, kind)
    agrees, difference = _compare(error_code, now, controls)
    why = causes(error_code, kind, now, controls, around) if now.allowed else ()
    return Taken(
        error_code=error_code,
        cr2=cr2,
        source=source,
        frame=frame,
        kind=kind,
        number=_access_of(cr2, kind, judged),
        now=now,
        agrees=agrees,
        difference=difference,
        causes=tuple(why),
    )


def kind_of(error_code: int, around: Surroundings) -> AccessKind:
    """Return the access that an error code tells of (SDM vol. 3A figure 4-12)."""
    access = Access.WRITE if error_code & Fault.WR else Access.READ
    if error_code & Fault.ID:
        access = Access.FETCH
    user = bool(error_code & Fault.US)
    # An implicit supervisor access at CPL 3 is not let through by RFLAGS.AC.
    ac = bool(around.ac) and not user and around.cpl != 3 and access is not Access.FETCH
    return AccessKind(access, user, ac)


def _access_of(cr2: int, kind: AccessKind, judged: Sequence[Judged]) -> int | None:
    """Return which access reaches an address: of several the one that does what faulted."""
    there = [at for at, one in enumerate(judged) if _reaches(one, cr2)]
    if not there:
        return None

    def fits(at: int) -> bool:
        does = judged[at].touch.does.value
        is_fetch = does == "fetch"
        if is_fetch or kind.access is Access.FETCH:
            # Where NX and SMEP are off, a fetch has no bit of its own.
            return is_fetch and kind.access is not Access.WRITE
        return kind.access.value in does

    return next((at for at in there if fits(at)), there[0])


def _reaches(one: Judged, va: int) -> bool:
    return (va - one.touch.va) % (1 << 64) < one.touch.length


def _compare(error_code: int, now: Fate, controls: Controls) -> tuple[bool | None, str]:
    """Return whether the tables say what the error code says, and what they say otherwise."""
    if now.vector is None:
        return None, now.reason
    if now.allowed:
        return False, "the tables allow this access now"
    if not now.is_page_fault:
        return False, f"{outcome_words(now.vector, 0)} now: {now.reason}"
    differs = error_code ^ now.error_code
    if not differs:
        return True, ""
    if differs == Fault.P and now.error_code & Fault.RSVD and not error_code & Fault.P:
        return True, _RESERVED_QUIRK
    if differs == Fault.PK and controls.key_matters:
        return True, "but for PK: PKRU is not known"
    said = [words[bool(error_code & bit)] for bit, words in _WORDS.items() if differs & bit]
    left = differs & ~int(Fault.P | Fault.RSVD | Fault.PK)
    said += [f"bits {left:#x} of the error code are not what these tables lead to"] if left else []
    expected = outcome_words(now.vector, now.error_code)
    return False, f"at the fault {' and '.join(said)}; now it would be {expected}: {now.reason}"
