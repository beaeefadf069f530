"""The guard process by itself: what it reports, and what it does when left alone."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ptlive.errors import PtliveError
from ptlive.target.guard import Guard
from ptlive.wire.address import StubAddress
from ptlive.wire.gdb import GdbMi
from ptlive.wire.holder import is_held
from ptlive.wire.packet import PacketError, frame
from ptlive.wire.raw import RawStub
from tests.wire.fake_stub import FakeStub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STOPPED = frame(b"T02thread:p01.01;")
# What is asked to learn where the answers to the client before end.
TAKING_OVER = b"qXfer:features:read:target.xml:0,6"


@pytest.fixture
def gdb() -> Iterator[GdbMi]:
    process = GdbMi()
    yield process
    process.kill()


@pytest.fixture
def running_stub(tmp_path: Path) -> Iterator[FakeStub]:
    with closing(FakeStub(tmp_path / "s", phy_mem_mode="1", greeting=STOPPED)) as stub:
        yield stub


def after_preflight(stub: FakeStub) -> list[bytes]:
    """What the stub was asked after the first conversation, which ends switching the mode."""
    return stub.seen[stub.seen.index(b"Qqemu.PhyMemMode:0") + 1 :]


def test_reports_what_the_stub_told(running_stub: FakeStub, gdb: GdbMi) -> None:
    guard = Guard(running_stub.address, gdb)
    found = guard.preflight()
    assert (found.was_running, found.phy_mem_mode) == (True, 1)
    assert guard.close(release=True)
    assert after_preflight(running_stub) == []
    assert gdb.process.poll() is None


def test_hands_its_connection_over_where_there_is_no_gdb(running_stub: FakeStub) -> None:
    guard = Guard(running_stub.address)
    assert guard.preflight().was_running
    with RawStub(guard.take_connection(), patience=5) as stub:
        assert stub.ask(b"qqemu.PhyMemMode") == b"0"
    # Nobody else can come in between.
    assert is_held(StubAddress.parse(running_stub.address))
    assert guard.close(release=True)
    # The stub's end is listed until its thread has closed it.
    deadline = time.monotonic() + 10
    while is_held(StubAddress.parse(running_stub.address)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("hang_up", [True, False])
def test_ends_the_connection_that_it_handed_over(running_stub: FakeStub, hang_up: bool) -> None:
    guard = Guard(running_stub.address)
    guard.preflight()
    with RawStub(guard.take_connection(), patience=5) as stub:
        if hang_up:
            stub.close()
        guard.send("memory 1000 6162")
        assert guard.close(release=False)
        assert after_preflight(running_stub) == [
            TAKING_OVER,
            b"Qqemu.PhyMemMode:1",
            b"M1000,2:6162",
            b"Qqemu.PhyMemMode:1",
            b"?",
            b"D;1",
        ]
        with pytest.raises((PacketError, OSError)):
            stub.ask(b"g")


def test_reports_what_is_wrong_in_the_same_words(tmp_path: Path, gdb: GdbMi) -> None:
    guard = Guard(f"unix:{tmp_path}/none", gdb)
    with pytest.raises(PtliveError, match=f"nothing listens on unix:{tmp_path}/none"):
        guard.preflight()
    guard.close(release=False)


def test_puts_everything_back_when_it_is_not_released(running_stub: FakeStub, gdb: GdbMi) -> None:
    guard = Guard(running_stub.address, gdb)
    guard.preflight()
    for line in (
        "registers 2 P1=00 P2=00",
        "memory 1000 6162",
        f"memory 2000 {'63' * 1500}",
        "keep 2",
        "memory 3000 64",
    ):
        guard.send(line)
    assert guard.close(release=False)
    assert gdb.process.wait(5) == -signal.SIGKILL
    assert after_preflight(running_stub) == [
        TAKING_OVER,
        b"Qqemu.PhyMemMode:1",
        b"M3000,1:64",
        b"M1000,2:6162",
        b"Qqemu.PhyMemMode:1",
        b"qSupported:multiprocess+;xmlRegisters=i386",
        b"qXfer:features:read:target.xml:0,ffb",
        b"Hgp1.2",
        b"g",
        b"P1=00",
        b"P2=00",
        b"?",
        b"D;1",
    ]


def test_long_memory_is_restored_in_pieces(running_stub: FakeStub, gdb: GdbMi) -> None:
    guard = Guard(running_stub.address, gdb)
    guard.preflight()
    guard.send(f"memory 2000 {'63' * 1500}")
    assert guard.close(release=False)
    assert after_preflight(running_stub)[2:4] == [
        b"M2000,400:" + b"63" * 1024,
        b"M2400,1dc:" + b"63" * 476,
    ]


@pytest.mark.parametrize("resume", [False, True])
def test_is_told_whether_the_guest_shall_run(
    running_stub: FakeStub, gdb: GdbMi, resume: bool
) -> None:
    guard = Guard(running_stub.address, gdb)
    guard.preflight()
    guard.set_resume(resume)
    guard.close(release=False)
    assert (b"D;1" in running_stub.seen) is resume


def test_survives_the_signals_that_end_its_parent(running_stub: FakeStub, gdb: GdbMi) -> None:
    guard = Guard(running_stub.address, gdb)
    guard.preflight()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(guard._process.pid, number)
    assert os.getsid(guard._process.pid) == guard._process.pid
    time.sleep(0.05)
    assert guard.close(release=False)
    assert running_stub.seen[-1] == b"D;1"


def test_gdb_does_not_see_its_input_end_while_the_guard_lives(
    running_stub: FakeStub, gdb: GdbMi
) -> None:
    guard = Guard(running_stub.address, gdb)
    guard.preflight()
    assert gdb.process.stdin is not None
    gdb.batch(["-list-features"])
    gdb.process.stdin.close()
    with pytest.raises(TimeoutError):
        wait(gdb, 0.3)
    guard.close(release=True)
    wait(gdb, 5)


def wait(gdb: GdbMi, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while gdb.process.poll() is None:
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


@pytest.mark.parametrize("release", [True, False])
def test_a_folder_of_ours_is_removed_if_we_are_killed(
    tmp_path: Path, running_stub: FakeStub, gdb: GdbMi, release: bool
) -> None:
    guard = Guard(running_stub.address, gdb)
    guard.preflight()
    folder = tmp_path / "our files"
    for name in (folder, tmp_path / "gone already"):
        guard.send(f"folder {name}")
    folder.mkdir()
    (folder / "ram").write_bytes(b"x")
    assert guard.close(release=release)
    assert folder.exists() is release
    assert (b"D;1" in running_stub.seen) is not release


def test_says_that_it_could_not(tmp_path: Path, gdb: GdbMi) -> None:
    stub = FakeStub(tmp_path / "s", greeting=STOPPED)
    guard = Guard(stub.address, gdb)
    guard.preflight()
    stub.close()
    assert not guard.close(release=False)


def test_nothing_may_be_changed_without_it(running_stub: FakeStub, gdb: GdbMi) -> None:
    guard = Guard(running_stub.address, gdb)
    guard.preflight()
    guard._process.kill()
    guard._process.wait()
    with pytest.raises(PtliveError, match="guards the guest's state has ended"):
        guard.send("memory 0 00")
    assert not guard.close(release=True)
