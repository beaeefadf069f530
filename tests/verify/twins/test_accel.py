"""Under which accelerator a twin runs, and what that changes."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.errors import PtliveError
from ptlive.oracle.twin.fork import CR4_PKE, CR4_SMEP
from ptlive.target import machine
from ptlive.verify.twins import accel as twin_accel
from ptlive.verify.twins import kvm_cpu
from ptlive.verify.twins.kvm_cpu import KvmCpu, decode
from tests.verify.made import FRAME, FULL, MB, PS, Made

if TYPE_CHECKING:
    from pathlib import Path

CR4 = 1 << 5 | CR4_SMEP | 1 << 21 | CR4_PKE


def twins(made: Made, *accels: str, levels: int = 4, cpu: str = "max") -> Any:
    space, fork = made.space(levels), made.fork(levels)
    state = SimpleNamespace(
        vcpu=1,
        cr0=fork.control.cr0,
        cr4=fork.control.cr4,
        efer=fork.control.efer,
        maxphyaddr=40,
        gbpages=True,
    )
    target: Any = SimpleNamespace(cpus=[state], accelerator="TCG")
    return twin_accel.twins(fork, target, space, space.walk(), accels)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    made = Made(tmp_path / "ram", 4 * MB)
    made.put(1, 0, 2 * FRAME | FULL)
    made.put(2, 0, PS | FULL)  # 1G
    made.put(2, 1, 3 * FRAME | FULL | 1 << 41)
    return made


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer whose KVM has SMEP and SMAP, and neither keys nor 1G pages."""
    monkeypatch.setattr("os.access", lambda *_: True)
    monkeypatch.setattr(machine, "host_has_la57", lambda: False)
    monkeypatch.setattr(twin_accel, "kvm_paging", lambda: "EPT")
    offered = KvmCpu(46, frozenset({"smep", "smap"}))
    monkeypatch.setattr(twin_accel, "kvm_cpu", lambda: offered)


def test_by_default_as_the_guest(made: Made) -> None:
    (one,) = twins(made)
    assert (one.answered_by, one.fork.accel, one.options, one.notes) == ("TCG", "tcg", "", ())


def test_under_kvm_entries_are_judged_as_its_cpu_does(made: Made, host: None) -> None:
    tcg, kvm = twins(made, "tcg", "kvm")
    assert (tcg.answered_by, kvm.answered_by) == ("TCG", "KVM+EPT")
    assert (tcg.options, kvm.options) == (" --twin-accel tcg", " --twin-accel kvm")
    assert (kvm.fork.accel, kvm.fork.cpu) == ("kvm", "max,host-phys-bits=on")
    # Keys are off there; without 1G pages PS is reserved; bit 41 is an address bit.
    assert kvm.fork.control.cr4 == tcg.fork.control.cr4 & ~CR4_PKE
    assert tcg.space.controls.pke
    assert not kvm.space.controls.pke
    assert kvm.space.controls.smep
    assert tcg.graph.leaves == 1
    assert kvm.graph.leaves == 0
    assert len(kvm.notes) == 3
    assert "MAXPHYADDR 46, the guest's 40" in " ".join(kvm.notes)


@pytest.mark.parametrize(
    ("paging", "name"),
    [("NPT", "KVM+NPT"), ("shadow paging", "KVM shadow paging"), ("unknown", "KVM, unknown")],
)
def test_each_kind_of_kvm_has_its_name(
    monkeypatch: pytest.MonkeyPatch, paging: str, name: str
) -> None:
    monkeypatch.setattr(twin_accel, "kvm_paging", lambda: paging)
    assert twin_accel.kvm_name() == name


def test_five_levels_without_la57_are_one_sentence(made: Made, host: None) -> None:
    with pytest.raises(PtliveError, match="KVM has five levels only on a CPU with LA57"):
        twins(made, "kvm", levels=5)


def test_no_kvm_is_one_sentence(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("os.path.exists", lambda _: False)
    with pytest.raises(PtliveError, match="no KVM here: /dev/kvm is not there"):
        twins(made, "kvm")


def entry(leaf: int, *registers: int, index: int = 0) -> bytes:
    return struct.pack("<10I", leaf, index, 0, *registers, 0, 0, 0)


def test_what_kvm_offers_is_read_from_its_answer() -> None:
    leaves = [
        entry(7, 2, 1 << 7, 1 << 3, 0),
        entry(7, 0, 1 << 20, 1 << 16, 0, index=1),  # another leaf's bits
        entry(0x80000001, 0, 0, 0, 1 << 26),
        entry(0x80000008, 0x3930, 0, 0, 0),
    ]
    answer = struct.pack("<2I", len(leaves), 0) + b"".join(leaves)
    assert decode(answer) == KvmCpu(0x30, frozenset({"smep", "pku", "pdpe1gb"}))


def test_an_answer_without_an_address_width_is_one_sentence() -> None:
    with pytest.raises(PtliveError, match="how wide physical addresses are"):
        decode(struct.pack("<2I", 0, 0))


def test_a_kvm_that_does_not_answer_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nothing(*_: Any) -> int:
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr("os.open", nothing)
    with pytest.raises(PtliveError, match="which CPU it offers: Inappropriate ioctl"):
        kvm_cpu.kvm_cpu()
