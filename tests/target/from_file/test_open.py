"""A guest that is a file: which kind, what is assumed of it, and what it cannot do."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.memory.ram_map import Kind, Region
from ptlive.target.from_file.assumed import cpu_states, overlaid, parse
from ptlive.target.from_file.open import open_file
from ptlive.target.from_file.saved import SavedCpu
from tests.memory.cores import Load, core, cpu_note

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.target.attach import Target

CR0, CR4 = 0x8001_0001, 0x20
LONG = {"cr0": CR0, "cr3": 0x1000, "cr4": CR4, "rip": 0x1234, "eflags": 2, "cs": 8, "ss": 16}


def opened(tmp_path: Path, data: bytes, *assume: str) -> Target:
    (tmp_path / "file").write_bytes(data)
    return open_file(tmp_path / "file", assume)


def notes(target: Target) -> list[str]:
    assert target.file is not None
    return [text for _, text in target.file.first]


def test_a_core_is_a_guest(tmp_path: Path) -> None:
    data = core([Load(0, bytes(0x2000)), Load(1 << 32, b"x" * 0x1000)], cpu_note(LONG) * 2)
    target = opened(tmp_path, data)
    assert [cpu.vcpu for cpu in target.cpus] == [1, 2]
    cpu = target.cpus[0]
    assert (cpu.cr3, cpu.rip, cpu.rflags, cpu.efer) == (0x1000, 0x1234, 2, 0xD00)
    assert (cpu.maxphyaddr, cpu.gbpages, cpu.halted, cpu.pkru) == (None, None, None, None)
    assert target.ram_map.ram_bytes == 0x3000
    assert target.memory.read(u64(1 << 32), 4)[0].tobytes() == b"xxxx"
    assert (target.memory_source, target.accelerator, target.pid) == ("core", "unknown", None)
    assert "EFER is not in the file: assumed LME LMA NXE (0xd00); --assume efer=VALUE tells it" in (
        notes(target)
    )
    assert any("does not tell ROM from RAM" in text for text in notes(target))


def test_what_efer_must_have_been() -> None:
    """SDM vol. 3A 4.1.1: without CR4.PAE there is no 64-bit mode."""
    for cr0, cr4, long_mode, efer in (
        (CR0, CR4, None, 0xD00),
        (CR0, CR4, True, 0xD00),
        (CR0, CR4, False, 0x800),
        (CR0, 0, None, 0),
        (1, CR4, True, 0),
    ):
        cpu = SavedCpu(1, {"cr0": cr0, "cr4": cr4}, long_mode=long_mode)
        ((state,), told) = cpu_states([cpu], parse([]))
        assert state.efer == efer
        assert len(told) == (1 if cr0 >> 31 else 0)
    ((state,), told) = cpu_states([SavedCpu(1, {**LONG, "efer": 0x501})], parse([]))
    assert (state.efer, told) == (0x501, [])


def test_what_is_assumed_is_told_beside_what_the_file_has() -> None:
    saved = [SavedCpu(1, {**LONG, "efer": 0xD01}, maxphyaddr=40), SavedCpu(2, {**LONG, "cr4": 0})]
    items = ["efer=0x500,maxphyaddr=46", "gbpages=no", " CR4 = 0x1020 ", "pkru=0x5"]
    states, told = cpu_states(saved, parse(items))
    for state in states:
        assert (state.efer, state.cr4, state.maxphyaddr, state.gbpages, state.pkru) == (
            *(0x500, 0x1020, 46, False, 5),
        )
    assert {text for _, text in told} == {
        "EFER is assumed to be 0x500: the file has 0xd01",
        "MAXPHYADDR is assumed to be 46: the file has 40",
        "whether the CPU has 1G pages is assumed to be no: it is not in the file",
        "CR4 is assumed to be 0x1020: the file has 0x0, 0x20",
        "PKRU is assumed to be 0x5: it is not in the file",
    }


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("efer", "'efer' is no NAME=VALUE"),
        ("", "'' is no NAME=VALUE"),
        (
            "rax=1",
            "knows no 'rax'; it knows cr0, cr2, cr3, cr4, efer, maxphyaddr, gbpages, pkru, ram",
        ),
        ("efer=x", "'x' is no number"),
        ("efer=", "'' is no number"),
        ("efer=-1", "does not fit into 64 bits"),
        ("cr3=0x1_0000_0000_0000_0000", "does not fit into 64 bits"),
        ("pkru=0x100000000", "does not fit into 32 bits"),
        ("maxphyaddr=53", "it is 32 to 52"),
        ("gbpages=maybe", "say yes or no"),
        ("efer=1,efer=2", "two values of efer"),
        ("rom=5", "'' is no number"),
        ("rom=5..4", "ends before it begins"),
    ],
)
def test_no_assumptions(item: str, words: str) -> None:
    with pytest.raises(PtliveError) as caught:
        parse([item])
    assert words in str(caught.value)


SPAN = 40


@given(
    st.lists(
        st.tuples(st.integers(0, SPAN), st.integers(0, SPAN), st.sampled_from(Kind)), max_size=6
    )
)
def test_later_stretches_lie_over_earlier_ones(stretches: list[tuple[int, int, Kind]]) -> None:
    below = [Region(0, 9, Kind.RAM, "low", 100), Region(20, 29, Kind.RAM, "high", 0)]
    above = [Region(min(a, b), max(a, b), kind, "new", 0) for a, b, kind in stretches]
    wanted: list[tuple[Kind, str] | None] = [None] * (SPAN + 1)
    for region in (*below, *above):
        for at in range(region.first, region.last + 1):
            wanted[at] = (region.kind, region.name)
    found: list[tuple[Kind, str] | None] = [None] * (SPAN + 1)
    for region in overlaid(below, above):
        for at in range(region.first, region.last + 1):
            assert found[at] is None
            found[at] = (region.kind, region.name)
            if region.name == "low":
                assert region.offset + at - region.first == 100 + at
    assert found == wanted


def test_bare_memory_needs_registers(tmp_path: Path) -> None:
    data = b"raw!" * 0x800
    with pytest.raises(PtliveError, match="neither a snapshot nor an ELF core; if it is bare"):
        opened(tmp_path, data)
    with pytest.raises(PtliveError, match="holds no registers: tell at least"):
        opened(tmp_path, data, "cr3=0x1000")
    target = opened(tmp_path, data, "cr3=0x1000,cr4=0x20")
    (cpu,) = target.cpus
    assert (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer) == (0x8001_0001, 0x1000, 0x20, 0xD00)
    assert target.memory.read(u64(0x1FFC, 0x2000), 4)[1].tolist() == [True, False]
    assert notes(target)[0].startswith("the file says nothing of itself")
    assert target.memory_source == "raw"
    assert [*target.stub.vcpus()] == [1]
    assert target.stub.registers(1) == {}, "what was assumed is no register of the file"


def test_a_core_without_registers_needs_them(tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match="holds no registers"):
        opened(tmp_path, core([Load(0, bytes(0x1000))]))
    target = opened(tmp_path, core([Load(0, bytes(0x1000))]), "cr3=0", "cr4=0x20")
    assert target.cpus[0].efer == 0xD00


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"KDUMP   " + bytes(100), "it is a kdump-compressed dump; write it again by dump-guest"),
        (b"makedumpfile\0\0\0\0" + bytes(100), "it is a kdump-compressed dump"),
        (b"PAGEDU64" + bytes(100), "it is a dump for Windows' debuggers"),
        (b"", "it is neither a snapshot nor an ELF core"),
        (b"#!/bin/sh\n", "it is neither a snapshot nor an ELF core"),
        (b"\x7fELF", "it is cut short"),
        (b"\x89PTLIVE\n", "it is cut short"),
    ],
)
def test_other_files(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(PtliveError) as caught:
        opened(tmp_path, data)
    said = str(caught.value)
    assert said.startswith(f"cannot read {tmp_path / 'file'}: ")
    assert words in said
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(PtliveError, match=f"cannot read {path}: "):
            open_file(path)


def test_more_ram_than_any_machine_has(tmp_path: Path) -> None:
    data = core([Load(0, bytes(0x1000), memsz=1 << 47)], cpu_note(LONG))
    with pytest.raises(PtliveError, match="more memory than any machine"):
        opened(tmp_path, data)
    data = core([Load(0, bytes(0x1000))], cpu_note(LONG))
    with pytest.raises(PtliveError, match="more memory than any machine"):
        opened(tmp_path, data, "rom=0x1000..0xffffffffffff")


def test_memory_that_the_file_lacks_is_told_apart_from_none(tmp_path: Path) -> None:
    data = core([Load(0, struct.pack("<512Q", *range(512)), memsz=0x3000)], cpu_note(LONG))
    target = opened(tmp_path, data)
    assert target.file is not None
    _, valid = target.memory.read(u64(0, 0x9000), 8)
    assert valid.tolist() == [True, False]
    assert target.file.late() == ()
    target.memory.read(u64(0x2008, 0x2010), 8)
    ((code, text),) = target.file.late()
    assert code == "not-in-file"
    assert text.startswith("1 frame of memory that the guest has, and that was asked for, is not")
    target.memory.read(u64(0x1000), 8)
    assert target.file.late()[0][1].startswith("2 frames of memory")


def test_a_file_does_nothing(tmp_path: Path) -> None:
    stub = opened(tmp_path, core([Load(0, bytes(0x1000))], cpu_note(LONG))).stub
    assert list(stub.vcpus()) == [1]
    assert stub.registers(1)["rip"] == 0x1234
    assert stub.halted(1) is None
    assert stub.read_physical(u64(0), 8)[1].all()
    stub.close(resume=True)
    for use, words in (
        (lambda: stub.step(1), "an ELF core executes nothing: this needs the live guest"),
        (lambda: stub.run_to(1, 0, 1.0), "executes nothing"),
        (lambda: stub.write_physical([(0, b"x")]), "is not written to"),
        (lambda: stub.write_registers(1, {"cr3": 0}), "is not written to"),
        (lambda: stub.register_packets({"cr3": 0}), "is not written to"),
        (lambda: stub.read_virtual(0, 1), "has no QEMU that could be asked"),
        (lambda: stub.monitor("info tlb"), "has no QEMU that could be asked for 'info tlb'"),
        (lambda: stub.monitor_many(["info mem"]), "for 'info mem'"),
    ):
        with pytest.raises(PtliveError, match=words):
            use()
