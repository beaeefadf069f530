"""What a kernel says of itself, line by line."""

from __future__ import annotations

import pytest

from ptlive.errors import PtliveError
from ptlive.guests.said.kernel import KernelSaid, Module, Place, Segment, read_kernel

RUN = [
    "mapper: kernel begin pid=149\n",
    "mapper: segment va=0xff3362b1c0001000 size=0x000000000009e000 pa=0x0000000000001000\n",
    "mapper: segment va=0xff752fb180000000 size=0x0031ffffffffffff pa=0xffffffffffffffff\n",
    "mapper: symbol va=0xffffffff911505a8 word=0xff3362b1c0000000 name=page_offset_base;\n",
    "mapper: symbol va=0xffffffff92830000 word=0x0000000000000000 name=_end unread;\n",
    "mapper: root pa=0x0000000012422000 name=init_mm;\n",
    "[    4.2] a message of the kernel's\n",
    "mapper: iomem first=0x0000000000001000 last=0x000000000009fbff depth=0 name=System RAM;\n",
    "mapper: iomem first=0x0000000010800000 last=0x00000000117fffff depth=1 name=Kernel code;\n",
    "mapper: module va=0xffffffffc0449000 size=69632 name=tun;\n",
    "mapper: swap name=/dev/nvme0n1;\n",
    "mapper: kernel end lines=11\n",
]
RAM = Place(0x1000, 0x9FBFF, 0, "System RAM")
EXPECTED = KernelSaid(
    symbols={"page_offset_base": 0xFFFFFFFF911505A8, "_end": 0xFFFFFFFF92830000},
    words={"page_offset_base": 0xFF3362B1C0000000},
    segments=[
        Segment(0xFF3362B1C0001000, 0xFF3362B1C009EFFF, 0x1000),
        Segment(0xFF752FB180000000, 0xFFA72FB17FFFFFFE, None),
    ],
    roots={"init_mm": 0x12422000},
    iomem=[RAM, Place(0x10800000, 0x117FFFFF, 1, "Kernel code")],
    modules=[Module(0xFFFFFFFFC0449000, 69632, "tun")],
    swaps=["/dev/nvme0n1"],
)


def test_every_field_arrives() -> None:
    assert read_kernel("".join(RUN)) == EXPECTED
    assert EXPECTED.ram == [RAM]


@pytest.mark.parametrize("row", range(1, 11))
def test_a_line_that_does_not_come_or_is_cut_is_counted(row: int) -> None:
    if not RUN[row].startswith("mapper"):
        return
    assert read_kernel("".join(RUN[:row] + RUN[row + 1 :])).lost == 1
    cut = RUN[row].rstrip("\n")[:-3]
    assert read_kernel("".join([*RUN[:row], cut + "\n", *RUN[row + 1 :]])).lost == 1


def test_a_report_that_did_not_end_is_none() -> None:
    with pytest.raises(PtliveError, match="did not finish its kernel"):
        read_kernel("".join(RUN[:-1]))
