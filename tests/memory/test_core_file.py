"""QEMU's ELF core: its memory, its registers, and files that only look like one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.memory.core_file import CoreFile, open_core
from tests.memory.cores import Load, core, cpu_note, note

LOW, HIGH = bytes(range(256)) * 64, b"high" * 0x800
REGISTERS = {"rip": 0xFFFFFFFF81000000, "eflags": 0x246, "cs": 0x10, "ss": 0x18}
REGISTERS |= {"cr0": 0x80050033, "cr2": 0x1234, "cr3": 0x1000, "cr4": 0x6F0, "r15": 15}


def written(tmp_path: Path, data: bytes) -> CoreFile:
    (tmp_path / "core").write_bytes(data)
    return open_core(tmp_path / "core")


def refused(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "core"
    path.write_bytes(data)
    with pytest.raises(PtliveError) as caught:
        open_core(path)
    said = str(caught.value)
    assert said.startswith(f"cannot read {path}: ")
    return said.removeprefix(f"cannot read {path}: ")


def test_memory_and_registers(tmp_path: Path) -> None:
    prstatus, vmcore = note(b"CORE\0", 1, bytes(336)), note(b"VMCOREINFO\0", 0, b"OSRELEASE=6.1")
    notes = prstatus * 2 + cpu_note(REGISTERS) + cpu_note({"cr3": 0x2000}, gs_base=False) + vmcore
    for many in (False, True):
        found = written(tmp_path, core([Load(0, LOW), Load(1 << 32, HIGH)], notes, many=many))
        assert found.regions == ((0, len(LOW) - 1), (1 << 32, (1 << 32) + len(HIGH) - 1))
        assert found.long_mode
        assert not found.paging
        first, second = found.cpus
        assert first.items() >= REGISTERS.items()
        assert second["cr3"] == 0x2000
        data, valid = found.memory.read(u64(0x101, (1 << 32) + 4, len(LOW), 1 << 31), 8)
        assert valid.tolist() == [True, True, False, False]
        assert data[0].tobytes() == LOW[0x101:0x109]
        assert data[1].tobytes() == b"highhigh"
    assert not written(tmp_path, core([Load(0, LOW)], notes, machine=3)).long_mode


def test_a_core_with_paging_lists_frames_in_any_order_and_twice(tmp_path: Path) -> None:
    """Each linear stretch has a segment; the file has each frame once."""
    top = 0xFFFF_8880_0000_0000
    linear = [
        Load(0, LOW, vaddr=top),
        Load(0x1000, vaddr=0x400000, at=(0x1000, 0x2000)),
        Load(0x3000, vaddr=0x7000, at=(0x3000, 0x1000)),
        Load(0x2000, vaddr=0x600000, at=(0x2000, 0x1000)),
        Load(0x9000, vaddr=0x800000, memsz=0x1000),
    ]
    found = written(tmp_path, core(linear))
    assert found.paging
    assert found.regions == ((0, 0x3FFF), (0x9000, 0x9FFF))
    data, valid = found.memory.read(u64(0, 0x3000, 0x9000), 0x1000)
    assert valid.tolist() == [True, True, False]
    assert data[1].tobytes() == LOW[0x3000:]
    assert found.cpus == ()


def test_what_is_no_core_of_ours(tmp_path: Path) -> None:
    good = core([Load(0, LOW)], cpu_note(REGISTERS))
    assert "32-bit core: the guest's first vCPU" in refused(tmp_path, core([], elf_class=1))
    assert refused(tmp_path, core([], kind=2)).endswith("no core of an x86 machine")
    assert refused(tmp_path, core([], machine=183)).endswith("no core of an x86 machine")
    assert refused(tmp_path, Path(sys.executable).read_bytes()).startswith("it is an ELF file, but")
    assert refused(tmp_path, b"") == "it is empty"
    for size in (4, 63, 100, 170, len(good) - 1):
        assert refused(tmp_path, good[:size]).startswith("it is cut short")
    assert refused(tmp_path, good[:-5]) == "it is cut short: 5 bytes are missing"
    other = core([], cpu_note(REGISTERS, version=2))
    assert refused(tmp_path, other) == "its notes have version 2, and 1 is known"
    assert "too short" in refused(tmp_path, core([], note(b"QEMU\0", 0, bytes(100))))
    endless = b"\xff" * 8 + bytes(4)
    assert "notes make no sense" in refused(tmp_path, core([], endless))
    with pytest.raises(PtliveError, match="No such file"):
        open_core(tmp_path / "none")


@pytest.mark.parametrize(
    ("loads", "words"),
    [
        ([Load(0, LOW), Load(0x1000, HIGH)], "the same memory twice, in different places"),
        ([Load(0, LOW), Load(0, HIGH)], "the same memory twice, in different places"),
        ([Load(1 << 52, LOW)], "its segments make no sense"),
        ([Load(2**64 - 1, LOW)], "its segments make no sense"),
        ([Load(0, LOW, memsz=5)], "its segments make no sense"),
        ([Load(0, LOW, memsz=2**64 - 1)], "its segments make no sense"),
        ([Load(0, at=(0, 2**64 - 1), memsz=2**64 - 1)], "its headers make no sense"),
        ([Load(0, at=(2**64 - 200, 100))], "its headers make no sense"),
        ([Load(0, at=(1 << 40, 100))], "it is cut short"),
        ([Load(n << 13, at=(n * 8, 8)) for n in range(1200)], "in more pieces than any machine's"),
    ],
)
def test_segments_that_make_no_sense(tmp_path: Path, loads: list[Load], words: str) -> None:
    assert words in refused(tmp_path, core(loads) + bytes(10_000 * (len(loads) > 2)))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_anything_ends_with_a_sentence_or_with_memory(tmp_path_factory: Any, data: Any) -> None:
    good = bytearray(core([Load(0, LOW), Load(1 << 32, HIGH)], cpu_note(REGISTERS), many=True))
    number = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 4096, 1 << 52, 2**64 - 1])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 320) | st.integers(0, len(good) - 8))
        good[at : at + 8] = data.draw(number).to_bytes(8, "little")
    path = tmp_path_factory.mktemp("core") / "core"
    path.write_bytes(good)
    try:
        found = open_core(path)
    except PtliveError as error:
        assert "\n" not in str(error)  # noqa: PT017 - or no error at all
    else:
        found.memory.read(np.arange(0, 64, dtype=np.uint64) << np.uint64(12), 4096)
