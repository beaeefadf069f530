"""A simulated guest as the library holds one: no QEMU, and every kind of page."""

from __future__ import annotations

from ptlive.api.guest import Guest
from ptlive.api.held import Held
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, US, P, machine
from tests.simulated_guest import DATA, NOTHING_AT
from tests.simulated_guest import Guest as Simulated

PAGES = 0x7000_0000


def simulated() -> Simulated:
    """Return a guest with some pages from PAGES on."""
    guest = Simulated(machine())
    guest.map(PAGES, DATA * FRAME, PWU)
    guest.map(PAGES + FRAME, (DATA + 1) * FRAME, PWU)
    guest.map(PAGES + 2 * FRAME, (DATA + 1) * FRAME, P | US)
    guest.map(PAGES + 3 * FRAME, NOTHING_AT, P | RW)
    guest.write(DATA * FRAME, bytes(range(256)) * 16)
    guest.write((DATA + 1) * FRAME, b"second")
    return guest


def held(guest: Simulated) -> tuple[Guest, Held]:
    """Return it as the library's guest, and what says whether it may be asked."""
    target = guest.target()
    kept = Held(target, None, target.memory)
    return Guest(kept), kept
