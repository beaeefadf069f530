"""Verifications of a simulated guest: what they are asked, and that their numbers add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.verify.run import Plan
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, US, XD, P
from tests.simulated_guest import DATA

if TYPE_CHECKING:
    from ptlive.analysis.report import Check, Report
    from tests.simulated_guest import Guest

VA = 0x7000_1000
# The oracles that need no second QEMU.
HERE = ("stepped", "debug-walker")
STEPPED = Plan(oracles=("stepped",))


def kernel_page(guest: Guest) -> None:
    """Map one supervisor page of everything, one user page, one read-only page."""
    guest.map(VA, DATA * FRAME, P | RW)
    guest.map(VA + FRAME, (DATA + 1) * FRAME, PWU)
    guest.map(VA + 2 * FRAME, (DATA + 2) * FRAME, P | US | XD)


def check_of(report: Report, aspect: str, oracle: str = "stepped") -> Check:
    (found,) = (c for c in report.checks if (c.oracle, c.aspect) == (oracle, aspect))
    return found


def asked_and_answered(report: Report, plan: Plan, addresses: int) -> None:
    """Every question is checked or has a reason; so has every property of an answer."""
    fault = check_of(report, "fault")
    left = fault.unchecked.get("not chosen: more entries than probes", 0)
    total = fault.checked + sum(fault.unchecked.values())
    assert total - left == addresses * len(plan.kinds)
    done = {
        aspect: check_of(report, aspect).checked + sum(check_of(report, aspect).unchecked.values())
        for aspect in ("frame", "accessed", "dirty")
    }
    assert len(set(done.values())) == 1
    assert report.disagreed == len(report.disagreements)
