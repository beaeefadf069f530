"""A guest whose stub is somebody else's, and one that runs: seen through QMP alone."""

from __future__ import annotations

import glob
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.memory import qmp as qmp_memory
from ptlive.memory.live import Witness
from ptlive.target import sources
from ptlive.target.attach import attach
from ptlive.target.by_qmp import attach_by_qmp
from ptlive.wire.address import StubAddress
from ptlive.wire.qmp import Qmp
from ptlive.wire.raw import RawStub
from tests.qemu_process import PATTERN_AT, still_guest
from tests.verify.own_qemu import own_qemu

if TYPE_CHECKING:
    from pathlib import Path

    from tests.qemu_process import Qemu

pytestmark = pytest.mark.qemu


def test_a_stopped_guest_is_seen_as_through_its_stub_and_left_alone(tmp_path: Path) -> None:
    with still_guest(tmp_path, stopped=True, vcpus=2) as guest:
        before = guest.state()
        with attach_by_qmp(guest.qmp) as target:
            data, valid = target.memory.read(u64(PATTERN_AT + 0x5000, 1 << 40), 8)
            assert data[0].tobytes() == (PATTERN_AT + 0x5000).to_bytes(8, "little")
            assert valid.tolist() == [True, False]
            assert (target.was_running, target.memory_source) == (False, "qmp")
            ours = target
        assert guest.state() == before
        with attach(guest.gdb) as target:
            assert target.version.split() == ours.version.split()
            assert (target.cpus, target.accelerator) == (ours.cpus, ours.accelerator)
            assert target.ram_map.regions == ours.ram_map.regions


def test_while_another_client_holds_the_stub(tmp_path: Path) -> None:
    held = "another client holds the stub"
    with still_guest(tmp_path) as guest, RawStub(StubAddress.parse(guest.gdb).connect(5)) as other:
        assert other.ask(b"Qqemu.PhyMemMode:1") == b"OK"
        with pytest.raises(PtliveError, match=held), attach(guest.gdb):
            pass
        expected = PATTERN_AT.to_bytes(8, "little")
        with attach_by_qmp(guest.qmp) as target:
            for name in ("qmp", "proc", "shared"):
                memory = sources.choose(target, name).memory
                assert memory.read(u64(PATTERN_AT), 8)[0].tobytes() == expected
        # What the other one had set up is as it was.
        assert other.ask(b"m%x,8" % PATTERN_AT) == expected.hex().encode()
        assert not guest.running()


def test_a_guest_that_runs_is_refused_unless_it_is_to_be_read_so(tmp_path: Path) -> None:
    with still_guest(tmp_path) as guest:
        with (
            pytest.raises(PtliveError, match=r"the guest runs, .* --live"),
            attach_by_qmp(guest.qmp),
        ):
            pass
        with attach_by_qmp(guest.qmp, live=True) as target:
            assert target.was_running
            assert target.cpus[0].rip == 0xFFF0
            for name in ("shared", "proc", "qmp"):
                memory = sources.choose(target, name, live=True).memory
                row = memory.read(u64(PATTERN_AT), 8)[0]
                assert row.tobytes() == PATTERN_AT.to_bytes(8, "little")
            for name in ("stub", "gdb"):
                with pytest.raises(PtliveError, match=f"by {name}: it needs the gdb stub"):
                    sources.choose(target, name, live=True)
        assert guest.running()


def test_a_guest_that_was_let_run_meanwhile_is_told(tmp_path: Path) -> None:
    def work(guest: Qemu) -> None:
        with attach_by_qmp(guest.qmp):
            guest.qmp.command("cont")
            guest.qmp.command("stop")

    with still_guest(tmp_path, stopped=True) as guest:
        with pytest.raises(PtliveError, match="the guest ran while it was read"):
            work(guest)
        with attach_by_qmp(guest.qmp):
            pass  # that it ran before is no matter


def test_what_is_written_while_it_is_read_is_torn(tmp_path: Path) -> None:
    """A guest whose memory somebody changes, as a running kernel does."""
    with still_guest(tmp_path) as guest, attach_by_qmp(guest.qmp, live=True) as target:
        for name in ("shared", "proc", "qmp"):
            witness = Witness(sources.choose(target, name, live=True).memory)
            witness.read(u64(PATTERN_AT, PATTERN_AT + 0x3000), 4096)
            with guest.ram.open("r+b") as ram:
                ram.seek(PATTERN_AT + 0x3000 + 16)
                old = ram.read(8)
                ram.seek(PATTERN_AT + 0x3000 + 16)
                ram.write(bytes(8) if name == "proc" else b"\x55" * 8)
            torn = witness.torn()
            assert torn.entry_pa.tolist() == [PATTERN_AT + 0x3010]
            assert torn.before.tolist() == [int.from_bytes(old, "little")]


def test_where_no_file_arrives_memory_comes_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a QEMU in a container: by the monitor's xp, and that is said."""
    monkeypatch.setattr(qmp_memory, "folders", lambda room: [])
    with still_guest(tmp_path, stopped=True) as guest, attach_by_qmp(guest.qmp) as target:
        assert target.notes == (
            "QEMU writes no file here (there is no room for a file): "
            "what is read over QMP comes as text",
        )
        data, valid = target.memory.read(u64(PATTERN_AT, PATTERN_AT + 0x3003, 1 << 40), 4096)
        assert data[0].tobytes() == PATTERN_AT.to_bytes(8, "little") * 512
        assert data[1].tobytes() == (
            ((PATTERN_AT + 0x3000).to_bytes(8, "little") * 512)[3:]
            + (PATTERN_AT + 0x4000).to_bytes(8, "little")[:3]
        )
        assert valid.tolist() == [True, True, False]


KILLED = """
import sys
import numpy as np
from ptlive.target.by_qmp import attach_by_qmp
from ptlive.wire.qmp import Qmp
with Qmp(sys.argv[1]) as qmp, attach_by_qmp(qmp, live=True) as target:
    frames = np.arange(1 << 20, 64 << 20, 1 << 12, dtype=np.uint64)
    print("reading", flush=True)
    while True:
        target.memory.read(frames, 4096)
"""


def test_a_reader_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    def left() -> set[str]:
        return set(glob.glob("/dev/shm/ptlive-*/*") + glob.glob("/tmp/ptlive-*/" + "?" * 32))

    before = left()
    with own_qemu(tmp_path, "-m", "96M", "-cpu", "max", qmp=True) as qemu:
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, qemu.qmp], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "reading\n"
            deadline = time.monotonic() + 20
            while not (during := left() - before):
                assert time.monotonic() < deadline
            child.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while left() & during:
            assert time.monotonic() < deadline, "left behind"
            time.sleep(0.02)
        with Qmp(qemu.qmp) as qmp:
            assert qmp.running()
