"""What is particular to the stub behind gdb, on a real QEMU."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.wire.gdb_stub import GdbStub
from tests.interruption import for_ever, interrupt
from tests.qemu_process import PATTERN_AT, RAM_BYTES, still_guest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.qemu_process import Qemu

pytestmark = pytest.mark.qemu


def mode(stub: GdbStub) -> str:
    [reply] = stub.gdb.console(["maint packet qqemu.PhyMemMode"])
    return reply.text.splitlines()[-1]


def test_gdbs_own_commands_say_the_same_registers(gdb_stub: GdbStub) -> None:
    """The layout is right: gdb decodes the same packet by itself."""
    values = gdb_stub.registers(1)
    names = sorted(values)
    replies = gdb_stub.gdb.console(
        [
            "maint flush register-cache",
            "thread 1",
            *(f"info registers {name}" for name in names),
        ]
    )
    for name, reply in zip(names, replies[2:], strict=True):
        assert reply.text.split()[0] == name
        assert int(reply.text.split()[1], 0) & (2**64 - 1) == values[name], name
    gdb_stub._packets.forget_thread()


def test_the_monitor_says_the_same_control_registers(gdb_stub: GdbStub) -> None:
    values = gdb_stub.registers(1)
    text = gdb_stub.monitor("info registers")
    # The still guest is in real mode, where QEMU shows 32 bits of them.
    assert f"CR0={values['cr0']:08x} CR2={values['cr2']:08x} CR3={values['cr3']:08x}" in text
    assert f"EFER={values['efer']:016x}" in text


def test_phy_mem_mode_is_off_after_each_call(gdb_stub: GdbStub) -> None:
    assert mode(gdb_stub) == 'received: "0"'
    gdb_stub.read_physical(u64(0), 4096)
    gdb_stub.write_physical([(0x9000, b"x")])
    assert mode(gdb_stub) == 'received: "0"'


def test_an_interrupted_read_leaves_phy_mem_mode_off(gdb_stub: GdbStub) -> None:
    frames = np.arange(PATTERN_AT, RAM_BYTES, 8192, dtype=np.uint64)
    for delay in (0.0, 0.01, 0.05, 0.15):
        interrupt(delay, lambda: for_ever(lambda: gdb_stub.read_physical(frames, 4096)))
        assert mode(gdb_stub) == 'received: "0"'
        data, valid = gdb_stub.read_physical(frames, 4096)
        assert valid.all()
        assert (data.view("<u8") == frames[:, None]).all()


def test_an_interrupted_step_can_be_followed_by_others(gdb_stub: GdbStub) -> None:
    before = gdb_stub.registers(1)
    for delay in (0.0, 0.005, 0.02):
        interrupt(delay, lambda: for_ever(lambda: gdb_stub.step(1, {"rax": 1})))
        assert gdb_stub.step(1, {"rax": 2})["rax"] == 2
    gdb_stub.write_registers(1, {"rax": before["rax"]})
    assert gdb_stub.registers(1) == before


def test_a_gdb_without_python_does_the_same(
    gdb_stub: GdbStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = u64(PATTERN_AT, PATTERN_AT + 4096, PATTERN_AT)
    gdb_stub.write_physical([(0x9000, bytes(range(200)) * 10)])

    def answers() -> list[object]:
        return [
            gdb_stub.registers(1),
            gdb_stub.registers(2),
            gdb_stub.read_physical(addresses, 8)[0].tolist(),
            gdb_stub.read_physical(addresses, 4096)[0].tolist(),
            gdb_stub.read_virtual(0x9000, 2000),
            gdb_stub.step(1),
        ]

    expected = answers()
    monkeypatch.setattr(gdb_stub._packets, "_together", False)
    gdb_stub.write_physical([(0x9000, bytes(range(200)) * 10)])
    assert answers() == expected
    with pytest.raises(PtliveError, match=r"QEMU refuses the packet Qqemu\.sstep=ff"):
        gdb_stub._packets.order(["Qqemu.sstep=ff"])


def test_runs_until_an_address_or_for_so_long(tmp_path: Path) -> None:
    with still_guest(tmp_path, stopped=True) as guest:
        stub = GdbStub()
        stub.connect(str(tmp_path / "gdb"))
        generation = stub.generation
        # The still guest jumps from its first instruction to that same instruction.
        assert stub.run_to(1, 0xFFFFFFF0, 5) or stub.run_to(1, 0xFFF0, 5)
        assert not stub.run_to(1, 0x1234, 0.2)
        assert not guest.running()
        assert stub.registers(1)["rip"] == 0xFFF0
        assert stub.generation > generation
        stub.close(resume=False)
        assert not guest.running()


def test_long_output_of_the_monitor_arrives_whole(gdb_stub: GdbStub, guest: Qemu) -> None:
    told = guest.qmp.human("info mtree")
    assert len(told) > 8192
    assert gdb_stub.monitor("info mtree") == told


def test_the_monitors_words_are_not_mistaken(gdb_stub: GdbStub) -> None:
    assert gdb_stub.monitor('print "a \\ b') != ""
    assert gdb_stub.monitor("info version").startswith(tuple("123456789"))


def test_close_lets_go_as_it_is_told(tmp_path: Path) -> None:
    with still_guest(tmp_path) as guest:
        for resume in (True, False, True):
            stub = GdbStub()
            stub.connect(str(tmp_path / "gdb"))
            assert not guest.running()
            stub.close(resume=resume)
            stub.close(resume=not resume)
            assert guest.running() is resume
            with pytest.raises(PtliveError):
                stub.registers(1)


def test_close_puts_phy_mem_mode_back(tmp_path: Path) -> None:
    with still_guest(tmp_path) as guest:
        guest.phy_mem_mode(switch_to=1)
        stub = GdbStub()
        stub.connect(str(tmp_path / "gdb"))
        assert mode(stub) == 'received: "0"'
        stub.close(resume=True)
        assert guest.phy_mem_mode() == 1


def test_another_stepping_mode_is_put_back(tmp_path: Path) -> None:
    with still_guest(tmp_path, stopped=True):
        stub = GdbStub()
        stub.connect(str(tmp_path / "gdb"))
        stub.gdb.console(["maint packet Qqemu.sstep=1"])
        stub.close(resume=False)
        stub = GdbStub()
        stub.connect(str(tmp_path / "gdb"))
        assert stub.step(1, {"rax": 5})["rax"] == 5
        [reply] = stub.gdb.console(["maint packet qqemu.sstep"])
        assert reply.text.splitlines()[-1] == 'received: "0x1"'
        stub.close(resume=False)


def test_says_when_gdb_finds_no_stub(tmp_path: Path) -> None:
    stub = GdbStub()
    with pytest.raises(PtliveError, match="gdb does not attach to"):
        stub.connect(str(tmp_path / "none"))
    stub.abandon()


@pytest.mark.parametrize("pieces", [1, 4000])
def test_says_when_qemu_ends(tmp_path: Path, pieces: int) -> None:
    with still_guest(tmp_path) as guest:
        stub = GdbStub()
        stub.connect(str(tmp_path / "gdb"))
        threading.Timer(0.05, guest.kill).start()
        addresses = np.arange(pieces, dtype=np.uint64) * np.uint64(4096)
        with pytest.raises(PtliveError, match="QEMU closed the connection: the guest is gone"):
            read_for_ever(stub, addresses)
        with pytest.raises(PtliveError, match="QEMU closed the connection: the guest is gone"):
            stub.registers(1)
        with pytest.raises(PtliveError):
            stub.close(resume=True)


def read_for_ever(
    stub: GdbStub, addresses: np.ndarray[tuple[int, ...], np.dtype[np.uint64]]
) -> None:
    while True:
        stub.read_physical(addresses, 8)
