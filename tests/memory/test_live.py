"""What changes while it is read is found, entry by entry."""

from __future__ import annotations

import numpy as np

from ptlive.arrays import u64
from ptlive.memory.cache import FrameCache
from ptlive.memory.live import Witness
from ptlive.memory.ram import PlainRam

FRAME = 1 << 12


def test_nothing_is_torn_where_nothing_changes() -> None:
    witness = Witness(PlainRam.zeros(4 * FRAME))
    witness.read(u64(0, FRAME), FRAME)
    assert witness.torn().entry_pa.size == 0
    assert Witness(PlainRam.zeros(FRAME)).torn().entry_pa.size == 0


def test_every_entry_that_differs_is_told_once_with_both_values() -> None:
    ram = PlainRam({FRAME: np.zeros(4 * FRAME, np.uint8)})
    ram.write(2 * FRAME + 8, (0x67).to_bytes(8, "little"))
    witness = Witness(ram)
    memory = FrameCache(witness)
    # The same frame again, and one that is not there at all.
    for _ in range(2):
        memory.read(u64(2 * FRAME, FRAME, 1 << 40), FRAME)
        witness.read(u64(2 * FRAME), FRAME)
    ram.write(2 * FRAME + 8, (0x27).to_bytes(8, "little"))
    ram.write(FRAME + FRAME - 8, b"\xff" * 8)
    ram.write(3 * FRAME, b"\xff")  # which was not read
    assert memory.read(u64(2 * FRAME + 8), 1)[0][0, 0] == 0x67, "one state, as it was first read"
    torn = witness.torn()
    assert torn.entry_pa.tolist() == [2 * FRAME - 8, 2 * FRAME + 8]
    assert torn.before.tolist() == [0, 0x67]
    assert torn.after.tolist() == [2**64 - 1, 0x27]
    assert torn.bits.tolist() == [2**64 - 1, 0x40]
