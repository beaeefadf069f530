"""The memory map as QEMU prints it, and the vectorised questions asked of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind, RamMap, Region

# As QEMU 7.2.22 printed it. pc-4g: -machine pc -m 4G -smp 2, after SeaBIOS; the other:
# -machine q35,nvdimm=on -m 256M with a flash chip and an nvdimm.
CAPTURED = Path(__file__).parent / "mtree"
SPLIT = (CAPTURED / "pc-4g.txt").read_text()
FLASH = (CAPTURED / "q35-flash-nvdimm.txt").read_text()

# Composed after softmmu/memory.c (mtree_print_flatview): what needs KVM or hardware.
ODD = """\
FlatView #0
 AS "memory", root: system
 Root memory region: system
  0000000000000000-0000000007ffffff (prio 0, ram): ram with space @0000000000001000 KVM
  0000000008000000-0000000008ffffff (prio 0, ramd): 0000:00:02.0 BAR 2 mmaps[0] KVM
  0000000009000000-0000000009ffffff (prio 0, nv-ram): nvdimm0
  000000000a000000-000000000a0fffff (prio -1, romd): system.flash0
  000000000a100000-000000000a1fffff (prio 0, romd): system.flash1
  0000000100000000-0000000100000fff (prio 0, i/o): odd (prio 0, ram): name
"""


def test_the_view_of_the_cpus_memory_is_chosen() -> None:
    ram_map = RamMap.parse(SPLIT.replace("\n", "\r\n"))
    assert len(ram_map.regions) == 23
    assert ram_map.regions[0] == Region(0, 0x9FFFF, Kind.RAM, "pc.ram", 0)
    assert ram_map.regions[-1] == Region(
        0x1_0000_0000, 0x1_3FFF_FFFF, Kind.RAM, "pc.ram", 0xC000_0000
    )
    assert ram_map.regions[2].kind is Kind.ROM
    vram = 2**24
    shadowed = 0x20000 + 0xB000 + 0x1A000 + 0x10000  # VGA's window, and what is ROM below 1M
    assert ram_map.ram_bytes == 4 * 2**30 - shadowed + vram


def test_kinds_and_names_on_both_sides_of_each_edge() -> None:
    ram_map = RamMap.parse(SPLIT)
    addresses = u64(0, 0x9FFFF, 0xA0000, 0xC0000, 0xCB000, 0xBFFFFFFF, 0xC0000000, 0xFEC00000)
    kinds = [Kind(kind) for kind in ram_map.kind_of(addresses).tolist()]
    ram, rom, device, nothing = Kind.RAM, Kind.ROM, Kind.DEVICE, Kind.NOTHING
    assert kinds == [ram, ram, device, rom, ram, ram, nothing, device]
    assert ram_map.names_of(addresses)[-3:] == ["pc.ram", "", "ioapic"]
    high = u64(0xFFFFFFFF, 0x100000000, 0x13FFFFFFF, 0x140000000, 2**64 - 1)
    assert ram_map.kind_of(high).tolist() == [rom, ram, ram, nothing, nothing]


def test_what_is_readable_joins_ram_and_rom_but_no_hole_and_no_device() -> None:
    ram_map = RamMap.parse(SPLIT)
    cases = {
        (0x9FFF8, 8): True,
        (0x9FFF9, 8): False,
        (0xA0000, 1): False,
        (0xCAFFC, 8): True,  # from ROM into RAM
        (0xFFFFFFFC, 8): True,  # from the BIOS into the RAM above the hole
        (0xBFFFF000, 4096): True,
        (0xBFFFF001, 4096): False,
        (0x13FFFF000, 4096): True,
        (2**64 - 4, 8): False,
        (2**64 - 1, 1): False,
    }
    for (address, length), expected in cases.items():
        assert ram_map.covers(u64(address), length).tolist() == [expected], hex(address)


def test_flash_reads_as_rom_and_an_nvdimm_as_ram() -> None:
    ram_map = RamMap.parse(FLASH)
    addresses = u64(0xFFE20000, 0xFFFFFFFF, 0x1_0000_0000, 0x1_0400_0000, 0xB000_0000)
    kinds = [Kind(kind) for kind in ram_map.kind_of(addresses).tolist()]
    assert kinds == [Kind.ROM, Kind.ROM, Kind.RAM, Kind.NOTHING, Kind.DEVICE]
    assert ram_map.names_of(addresses)[:3] == ["system.flash0", "system.flash0", "nv"]
    # The second one reaches from the end of the flash into the nvdimm beside it.
    assert ram_map.covers(addresses, 4096).tolist() == [True, True, True, False, False]


def test_memory_of_a_passed_through_device_is_a_device() -> None:
    ram_map = RamMap.parse(ODD)
    assert [region.kind for region in ram_map.regions] == [
        Kind.RAM,
        Kind.DEVICE,
        Kind.RAM,
        Kind.ROM,
        Kind.ROM,
        Kind.DEVICE,
    ]
    assert ram_map.regions[0].name == "ram with space"
    assert ram_map.regions[0].offset == 0x1000
    assert ram_map.regions[1].name == "0000:00:02.0 BAR 2 mmaps[0]"
    assert not ram_map.covers(u64(0x7FFFFFC), 8)[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown command: 'info mtree -f'\r\n",
        SPLIT.replace('"memory"', '"other"'),
        SPLIT.replace(", ram)", ", i/o)"),
    ],
)
def test_says_when_there_is_no_map(text: str) -> None:
    with pytest.raises(PtliveError, match="where the guest's RAM is"):
        RamMap.parse(text)


def test_overlapping_regions_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="overlap"):
        RamMap([Region(0, 10, Kind.RAM, "a", 0), Region(10, 20, Kind.RAM, "b", 0)])


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.sampled_from(list(Kind)[1:]))),
    st.lists(st.integers(0, 80), min_size=1),
    st.integers(1, 12),
)
def test_agrees_with_a_map_of_single_bytes(
    pieces: list[tuple[int, int, Kind]], addresses: list[int], length: int
) -> None:
    regions, at = [], 0
    for gap, size, kind in pieces:
        if size:
            regions.append(Region(at + gap, at + gap + size - 1, kind, "r", 0))
        at += gap + size
    ram_map = RamMap(regions)
    kinds = dict.fromkeys(range(200), Kind.NOTHING)
    for region in regions:
        kinds |= dict.fromkeys(range(region.first, region.last + 1), region.kind)
    asked = np.array(addresses, np.uint64)
    assert ram_map.kind_of(asked).tolist() == [kinds.get(a, Kind.NOTHING) for a in addresses]
    readable = (Kind.RAM, Kind.ROM)
    assert ram_map.covers(asked, length).tolist() == [
        all(kinds.get(a + i, Kind.NOTHING) in readable for i in range(length)) for a in addresses
    ]
