"""Predictions and what an MMU did, arrays of both: where they agree, and in what they do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import Access
from ptlive.oracle.twin.paint import NO_FRAME
from ptlive.paging.access import ALLOWED, PAGE_FAULT, UNPREDICTABLE
from ptlive.verify import quirks

if TYPE_CHECKING:
    from ptlive.analysis.report import Quirk
    from ptlive.arrays import U64, Bool
    from ptlive.oracle.twin.script import Answers
    from ptlive.paging.access import Verdicts


@dataclass(frozen=True, eq=False)
class Agreement:
    """How the outcomes of n accesses compare with their predictions; all bool[n].

    asked: for which there was a prediction; fault: outcome and error code agree
    told_cr2, told_frame: where there is something to compare; cr2, frame: that it
    agrees, True also where there is nothing; quirks: what a known deviation explains
    """

    asked: Bool
    fault: Bool
    told_cr2: Bool
    cr2: Bool
    told_frame: Bool
    frame: Bool
    quirks: dict[Quirk, Bool]

    @property
    def explained(self) -> Bool:
        """Where a known deviation, and not a disagreement, is what differs."""
        found: Bool = np.logical_or.reduce([np.zeros_like(self.asked), *self.quirks.values()])
        return found


def agreement(
    predicted: Verdicts, seen: Answers, va: U64, arrive: U64, homes: U64, by: str, page1gb: Bool
) -> Agreement:
    """Compare n accesses of one kind with what was predicted.

    va: the addresses accessed; arrive: the frames where allowed ones should arrive,
    NO_FRAME if that is no RAM; homes: the frames where writes were looked for
    by: who answered; page1gb: which entries are malformed for want of 1G pages alone
    """
    vector, code = predicted.vector, predicted.error_code
    # Of a table in no memory nothing is predicted; but no page lies behind one.
    asked = (vector != UNPREDICTABLE) | (seen.frame != NO_FRAME)
    fault = (seen.vector == vector) & (seen.error_code == code)
    known = {
        quirk: asked & ~fault & explains
        for quirk, explains in quirks.of_faults(
            by, (vector, code), (seen.vector, seen.error_code), page1gb
        ).items()
    }
    faulted = (vector == PAGE_FAULT) & (seen.vector == PAGE_FAULT)
    told_cr2 = faulted & np.logical_or.reduce([fault, *known.values()])
    told_frame = fault & (vector == ALLOWED)
    if seen.kind.access is Access.WRITE:
        told_frame &= arrive != NO_FRAME
        frame = seen.landed & (homes == arrive)
    else:
        frame = seen.frame == arrive
    return Agreement(
        asked=asked,
        fault=fault,
        told_cr2=told_cr2,
        cr2=~told_cr2 | (seen.cr2 == va),
        told_frame=told_frame,
        frame=~told_frame | frame,
        quirks=known,
    )
