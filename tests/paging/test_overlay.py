"""Memory as it would be: what is written shows, and nothing below changes."""

from __future__ import annotations

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.overlay import Overlay
from tests.paging.plain_ram import FRAME, PlainRam


@pytest.mark.parametrize(("entry", "size"), [("<u8", 8), (">u4", 4)])
def test_what_is_written_shows_and_the_rest_is_as_below(entry: str, size: int) -> None:
    ram = PlainRam(4 * FRAME, FRAME)
    ram.data[:] = np.arange(ram.data.size) % 251
    image = ram.data.copy()
    over = Overlay(ram)
    places = u64(2 * FRAME - size, 2 * FRAME, 3 * FRAME + 16)
    over.write(places, u64(0x11223344, 0x55667788, 0x99AABBCC), entry)
    expected = image.copy()
    for place, value in zip(places.tolist(), (0x11223344, 0x55667788, 0x99AABBCC), strict=True):
        at = place - FRAME
        expected[at : at + size] = np.array([value]).astype(entry).view(np.uint8)
    for length in (1, size, 100, FRAME, 2 * FRAME):
        at = np.arange(FRAME, 5 * FRAME - length + 1, 97, dtype=np.uint64)
        data, valid = over.read(at, length)
        assert valid.all()
        for row, address in zip(data, at.tolist(), strict=True):
            assert (row == expected[address - FRAME : address - FRAME + length]).all()
    assert (ram.data == image).all()
    assert over.frames.tolist() == [FRAME, 2 * FRAME, 3 * FRAME]


def test_where_there_is_no_memory_nothing_is_written() -> None:
    over = Overlay(PlainRam(FRAME))
    with pytest.raises(PtliveError, match="lies in no RAM"):
        over.write(u64(8 * FRAME), u64(1), "<u8")
