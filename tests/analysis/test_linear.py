"""Bytes by their linear addresses, across pages and up to where there are none."""

from __future__ import annotations

from ptlive.analysis.linear import read_linear
from tests.paging.builder import Builder
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU

VA = 0x7000_0000


def test_reads_across_pages_and_ends_where_they_end() -> None:
    builder = Builder(frames=16, base=0)
    builder.map(VA, 0xE000 | PWU)
    builder.map(VA + FRAME, 0xD000 | PWU)  # not the next frame
    builder.map(VA + 2 * FRAME, 1 << 30 | PWU)  # no memory
    builder.ram.write(0xE000 + FRAME - 8, 0x1111_1111_1111_1111)
    builder.ram.write(0xD000, 0x2222_2222_2222_2222)

    def read(va: int, length: int) -> bytes:
        return read_linear(builder.fmt, builder.ram, builder.roots, va, length)

    assert read(VA + FRAME - 4, 8) == b"\x11" * 4 + b"\x22" * 4
    assert len(read(VA + 2 * FRAME - 5, 15)) == 5
    assert read(VA - 1, 15) == b""
    assert read(1 << 63, 15) == b""  # not canonical
