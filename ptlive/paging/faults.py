"""What an access comes to, as numbers: vectors, and the bits of the page-fault error code."""

from __future__ import annotations

import enum

ALLOWED = 0
GENERAL_PROTECTION = 13
PAGE_FAULT = 14
UNPREDICTABLE = 255  # the tables do not say, as where a table lies in no memory


class Fault(enum.IntFlag):
    """Bits of the page-fault error code (SDM vol. 3A 4.7, figure 4-12)."""

    P = 1 << 0  # clear: an entry was not present
    WR = 1 << 1
    US = 1 << 2
    RSVD = 1 << 3
    ID = 1 << 4
    PK = 1 << 5
    SS = 1 << 6
    HLAT = 1 << 7
    SGX = 1 << 15
