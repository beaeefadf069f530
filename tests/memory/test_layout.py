"""Where RAM lies, from what QEMU prints about real machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from ptlive.errors import PtliveError
from ptlive.memory.layout import Piece, read_layout
from ptlive.memory.ram_map import Kind, RamMap, Region

CAPTURED = Path(__file__).parent / "mtree"
MB, GB = 1 << 20, 1 << 30


def answers(base: int, devices: str = "") -> dict[str, str]:
    return {
        "info memory-devices": devices,
        "info memory_size_summary": f"base memory: {base}\r\nplugged memory: 0\r\n" if base else "",
    }


def ram(*regions: tuple[int, int, str, int], kind: Kind = Kind.RAM) -> list[Region]:
    """Regions from (first, end, name, offset)."""
    return [Region(first, end - 1, kind, name, offset) for first, end, name, offset in regions]


def test_a_pc_of_4_gb_is_split_at_3_gb() -> None:
    ram_map = RamMap.parse((CAPTURED / "pc-4g.txt").read_text())
    for base in (4 * GB, 0):  # QEMU before 2.11 does not tell the size
        layout = read_layout(answers(base).__getitem__, ram_map)
        assert (layout.size, layout.low, layout.whole) == (4 * GB, 3 * GB, True)
        assert layout.pieces[0] == Piece(0, 0x9FFFF, 0)
        assert layout.pieces[-1] == Piece(4 * GB, 5 * GB - 1, 3 * GB)
        inside = sum(piece.size for piece in layout.pieces)
        assert inside == 4 * GB - 0x20000, "all but the video memory below 1 MB"


def test_video_memory_and_roms_near_4_gb_are_not_its_ram() -> None:
    ram_map = RamMap(
        ram((0, 2 * GB, "pc.ram", 0), (0xFD000000, 0xFE000000, "vga.vram", 0))
        + ram((0xFFFC0000, 4 * GB, "pc.bios", 0), kind=Kind.ROM)
        + ram((4 * GB, 7 * GB, "pc.ram", 2 * GB), (1 << 39, (1 << 39) + GB, "ivshmem", 0))
    )
    layout = read_layout(answers(5 * GB).__getitem__, ram_map)
    assert (layout.size, layout.low, layout.whole) == (5 * GB, 2 * GB, True)
    assert layout.pieces == (Piece(0, 2 * GB - 1, 0), Piece(4 * GB, 7 * GB - 1, 2 * GB))


def test_smram_may_hide_the_top_of_low_ram() -> None:
    ram_map = RamMap(
        ram((0, 2 * GB - 8 * MB, "pc.ram", 0), (4 * GB, 5 * GB, "pc.ram", 2 * GB))
        + ram((2 * GB - 8 * MB, 2 * GB, "tseg-blackhole", 0), kind=Kind.DEVICE)
    )
    layout = read_layout(answers(3 * GB).__getitem__, ram_map)
    assert (layout.size, layout.low, layout.whole) == (3 * GB, 2 * GB, True)
    assert layout.pieces[-1] == Piece(4 * GB, 5 * GB - 1, 2 * GB)


def test_firmware_that_leaves_its_rom_below_1_mb_has_its_ram_in_one_file_too() -> None:
    # OVMF on q35, while its boot manager shows a picture.
    ram_map = RamMap(
        ram((0, 0xA0000, "ram", 0), (0xA0000, 0xB0000, "vga.vram", 0))
        + ram((0xC0000, 0xC4000, "ram", 0xC0000), kind=Kind.ROM)
        + ram((0xC4000, 0xE0000, "pc.rom", 0x4000), kind=Kind.ROM)
        + ram((0xE0000, 0x100000, "pc.bios", 0x1E0000), kind=Kind.ROM)
        + ram((0x100000, 2 * GB, "ram", 0x100000), (4 * GB, 5 * GB, "ram", 2 * GB))
    )
    layout = read_layout(answers(3 * GB).__getitem__, ram_map)
    assert (layout.size, layout.low, layout.whole) == (3 * GB, 2 * GB, True)
    assert layout.pieces == (
        Piece(0, 0x9FFFF, 0),
        Piece(0xC0000, 0xC3FFF, 0xC0000),
        Piece(0x100000, 2 * GB - 1, 0x100000),
        Piece(4 * GB, 5 * GB - 1, 2 * GB),
    )


@pytest.mark.parametrize(
    "second", [("node1", 0), ("pc.ram", 64 * MB)], ids=["another backend", "another order"]
)
def test_several_backends_are_no_file_of_all_ram(second: tuple[str, int]) -> None:
    name, offset = second
    ram_map = RamMap(ram((0, 128 * MB, "pc.ram", 0), (128 * MB, 256 * MB, name, offset)))
    layout = read_layout(answers(256 * MB).__getitem__, ram_map)
    assert (layout.size, layout.low, layout.whole) == (256 * MB, 256 * MB, False)
    assert [piece.offset for piece in layout.pieces] == [0, 128 * MB]


def test_what_cannot_be_forked_is_named() -> None:
    ram_map = RamMap(ram((0, 128 * MB, "pc.ram", 0)))
    with pytest.raises(PtliveError, match="DIMMs"):
        read_layout(answers(128 * MB, "Memory device [dimm]: ...").__getitem__, ram_map)
    for base in (64 * MB, 8 * GB):
        with pytest.raises(PtliveError, match="does not lie as on the machines pc and q35"):
            read_layout(answers(base).__getitem__, ram_map)
