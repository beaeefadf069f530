"""QEMU's `info tlb`: its lines as arrays, and when it is not asked at all."""

from __future__ import annotations

from typing import Any

import pytest

from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind, RamMap, Region
from ptlive.oracle import info_tlb
from tests.paging.plain_ram import FRAME, PlainRam

P, W, U, PS = 1, 2, 4, 1 << 7
# As QEMU 7.2 printed them.
TEXT = """\
0000000000400000: 0000000000400000 --PDA---W
00007fffffffe000: 00000000012ab000 X--DA--UW
ffff800000000000: 0000000000001000 XG--ACT--
"""


class Monitor:
    """Answers `info tlb`, and notes what it was asked."""

    def __init__(self, text: str = TEXT) -> None:
        self.text = text
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def command(self, name: str, **arguments: Any) -> object:
        self.asked.append((name, arguments))
        return self.text


def ram(entries: dict[tuple[int, int], int]) -> PlainRam:
    memory = PlainRam(8 * FRAME)
    for (frame, index), entry in entries.items():
        memory.write(frame * FRAME + 8 * index, entry)
    return memory


MAP = RamMap(
    [
        Region(0, 8 * FRAME - 1, Kind.RAM, "ram", 0),
        Region(1 << 30, (1 << 30) + FRAME - 1, Kind.DEVICE, "registers", 0),
    ]
)


def asked(memory: PlainRam, levels: int = 4) -> list[tuple[str, dict[str, Any]]]:
    monitor: Any = Monitor()
    info_tlb.ask(memory, MAP, 0, levels, 2, monitor)
    found: list[tuple[str, dict[str, Any]]] = monitor.asked
    return found


def test_each_line_is_an_address_a_page_and_the_bits_of_its_letters() -> None:
    lines = info_tlb.parse(TEXT.replace("\n", "\r\n"))
    assert lines.va.tolist() == [0x400000, 0x7FFFFFFFE000, 0xFFFF800000000000]
    assert lines.pa.tolist() == [0x400000, 0x12AB000, 0x1000]
    assert lines.flags.tolist() == [
        PS | 1 << 6 | 1 << 5 | W,
        1 << 63 | 1 << 6 | 1 << 5 | U | W,
        1 << 63 | 1 << 8 | 1 << 5 | 1 << 4 | 1 << 3,
    ]
    assert info_tlb.parse("").va.size == info_tlb.parse("\r\n").va.size == 0


@pytest.mark.parametrize(
    "wrong",
    ["unknown command: 'info tlb'", "PG disabled", TEXT + "0000: 0 ---------", TEXT[:-5]],
)
def test_other_lines_are_an_error_that_shows_the_first(wrong: str) -> None:
    with pytest.raises(PtliveError, match="does not know info tlb"):
        info_tlb.parse(wrong)


def test_it_is_asked_of_one_vcpu_once() -> None:
    memory = ram({(0, 3): FRAME | P, (1, 0): 2 * FRAME | P, (2, 0): 3 * FRAME | P, (3, 0): P})
    arguments = {"command_line": "info tlb", "cpu_index": 1}
    assert asked(memory) == [("human-monitor-command", arguments)]


def test_a_device_is_not_read_as_a_table() -> None:
    for entry in (1 << 30 | P, 1 << 30 | P | 1 << 51):  # of bits 50 and 51 it knows nothing
        with pytest.raises(PtliveError, match="the device at 0x40000000 as a table"):
            asked(ram({(0, 3): entry}))
    # Neither a page nor what is absent is read; where nothing is, nothing is disturbed.
    assert asked(ram({(0, 3): 1 << 30}))
    assert asked(ram({(0, 3): FRAME | P, (1, 0): 1 << 30 | P | PS}))
    assert asked(ram({(0, 3): 1 << 40 | P}))


def test_a_self_map_is_counted_and_not_asked() -> None:
    """512**4 lines with four levels, of one table."""
    memory = ram({(0, index): P | W for index in range(512)})
    with pytest.raises(PtliveError, match="lines or more"):
        asked(memory)


@pytest.mark.parametrize(("tables", "refused"), [(195, False), (196, True)])
def test_the_bound_is_on_what_all_paths_print(tables: int, refused: bool) -> None:
    """So many entries of a page directory refer to one full page table: 512 lines each."""
    memory = ram({(0, 0): FRAME | P, (1, 0): 2 * FRAME | P})
    for index in range(512):
        memory.write(3 * FRAME + 8 * index, 4 * FRAME | P)
        if index < tables:
            memory.write(2 * FRAME + 8 * index, 3 * FRAME | P)
    if refused:
        with pytest.raises(PtliveError, match="100,352 lines"):
            asked(memory)
    else:
        assert asked(memory)


def test_bit_7_ends_a_path_on_two_levels_alone() -> None:
    """In a PML4E it is reserved, and means nothing to info tlb: the table below is read."""
    with pytest.raises(PtliveError, match="device"):
        asked(ram({(0, 0): FRAME | P | PS, (1, 0): 1 << 30 | P}))
    with pytest.raises(PtliveError, match="device"):
        asked(ram({(0, 0): FRAME | P | PS, (1, 0): 2 * FRAME | P | PS, (2, 0): 1 << 30 | P}), 5)
