"""The processors of most tests: paging, and nothing that comes on top of it."""

from dataclasses import replace

from .terms import Machine

FIVE = Machine(
    levels=5,
    maxphyaddr=46,
    nxe=True,
    gbpages=True,
    wp=True,
    smep=False,
    smap=False,
    pke=False,
    pkru=0,
)
FOUR = replace(FIVE, levels=4)
