"""Guests that users start themselves: their RAM, CPU and PKRU in a twin that agrees."""

from __future__ import annotations

import glob
import hashlib
import os
import signal
import subprocess
import sys
import time
from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from ptlive.errors import PtliveError
from ptlive.guests import menu
from ptlive.guests.said.menu import read_menu
from ptlive.memory import capture
from ptlive.oracle.twin.fork import FOUR_GB
from ptlive.space import open_space
from ptlive.target import sources
from ptlive.target.attach import attach
from ptlive.verify.choice import choose
from ptlive.verify.run import Plan, verify
from ptlive.verify.twins.fork import fork_of, pkru_of
from ptlive.verify.twins.ram import Ram, find_ram
from ptlive.wire.qmp import Qmp
from tests.verify.own_qemu import own_qemu

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.analysis.report import Report
    from ptlive.space import AddressSpace
    from ptlive.target.attach import Target

pytestmark = pytest.mark.qemu

MB, GB = 1 << 20, 1 << 30
MENU_PKRU = 1 << 2 | 1 << 5


def memfd(size: str, machine: str) -> list[str]:
    backend = f"memory-backend-memfd,id=ram,size={size}"
    return ["-object", backend, "-m", size, "-machine", f"{machine},memory-backend=ram"]


def about_the_menu(target: Target) -> tuple[AddressSpace, Plan]:
    space = open_space(target.cpus[0], target.memory, target.ram_map)
    lines = read_menu(menu.ELF, target.memory).lines
    va = np.unique(np.array([line.va for line in lines], dtype=np.uint64))
    return space, Plan(oracles=("twin",), va=va & ~np.uint64(7))


def agree(report: Report) -> None:
    assert report.disagreements == []
    assert report.disagreed == 0
    checked = {check.aspect: check.checked for check in report.checks}
    assert checked["fault"] > 500
    assert checked["frame"] > 100


NUMA = [
    *("-m", "256M", "-object", "memory-backend-memfd,id=a,size=128M"),
    *("-object", "memory-backend-memfd,id=b,size=128M"),
    *("-numa", "node,memdev=a", "-numa", "node,memdev=b"),
]


@pytest.mark.parametrize(
    ("options", "way", "low", "levels"),
    [
        (["-m", "128M", "-cpu", "max", "-vga", "std"], Ram.SAVED, 128 * MB, 5),
        ([*memfd("5G", "q35"), "-cpu", "Skylake-Server,+la57", "-smp", "2"], Ram.SHARED, 2 * GB, 5),
        ([*memfd("4G", "pc"), "-cpu", "qemu64"], Ram.SHARED, 3 * GB, 4),
        ([*memfd("2G", "pc,max-ram-below-4g=1G"), "-cpu", "max"], Ram.SHARED, GB, 5),
        ([*NUMA, "-cpu", "EPYC-v3,phys-bits=46", "-smp", "2"], Ram.SAVED, 256 * MB, 4),
    ],
    ids=["plain", "q35 split", "pc split", "split at 1 GB", "two nodes"],
)
def test_a_guest_of_any_layout_and_cpu(
    tmp_path: Path, options: list[str], way: str, low: int, levels: int
) -> None:
    with own_qemu(tmp_path, *options) as qemu, attach(qemu.gdb) as target:
        space, plan = about_the_menu(target)
        assert space.format.top == levels
        ram = find_ram(target)
        assert (ram.way, ram.layout.low) == (way, low)
        before = target.stub.monitor("info registers -a")
        fork = fork_of(target, space, None, ram=ram)
        assert fork.size == ram.layout.size
        assert (fork.end > FOUR_GB) == (fork.size > low)
        agree(verify(target, space, Plan(oracles=("twin",), va=plan.va, ram=ram)))
        assert target.stub.monitor("info registers -a") == before


def test_with_a_shared_file_and_qmp_all_is_known(tmp_path: Path) -> None:
    path = tmp_path / "r,a m"
    file = f"memory-backend-file,id=ram,size=96M,share=on,mem-path={tmp_path}/r,,a m"
    options = ["-object", file, "-m", "96M", "-machine", "q35,memory-backend=ram", "-cpu", "max"]
    with own_qemu(tmp_path, *options, qmp=True) as qemu, Qmp(qemu.qmp) as qmp:
        assert qmp.pid == qemu.pid
        assert qmp.running()
        with attach(qemu.gdb, qmp=qmp) as target:
            assert (target.was_running, target.pid) == (True, qemu.pid)
            before = hashlib.sha256(path.read_bytes()).digest()
            space, plan = about_the_menu(target)
            assert pkru_of(target, space, None) == MENU_PKRU
            assert find_ram(target).way == Ram.SHARED
            agree(verify(target, space, plan))
            assert hashlib.sha256(path.read_bytes()).digest() == before
        assert qmp.running()


@pytest.mark.parametrize(
    ("source", "least", "most"),
    [("stub", 1, 3), ("proc", 0, 1), pytest.param("gdb", 10, 20, marks=pytest.mark.long)],
)
def test_what_reads_memory_is_the_last_way(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    least: int,
    most: int,
) -> None:
    monkeypatch.setattr(capture, "folders", lambda room: ["/nowhere"])
    transport: Literal["stub", "gdb"] = "gdb" if source == "gdb" else "stub"
    with (
        own_qemu(tmp_path, "-m", "96M", "-cpu", "max") as qemu,
        attach(qemu.gdb, transport=transport) as held,
    ):
        target = sources.with_source(held, sources.choose(held, source))
        space, plan = about_the_menu(target)
        ram = find_ram(target)
        assert ram.way == Ram.READ
        assert "cannot keep a file in /nowhere" in ram.why
        assert least < ram.seconds < most
        agree(verify(target, space, Plan(oracles=("twin",), va=plan.va, ram=ram)))


def test_a_file_that_is_not_the_guests_ram_is_not_taken(tmp_path: Path) -> None:
    """As when the guest runs in a container, where the same path is another file."""
    path = tmp_path / "ram"
    file = f"memory-backend-file,id=ram,size=96M,share=on,mem-path={path}"
    options = ["-object", file, "-m", "96M", "-machine", "pc,memory-backend=ram", "-cpu", "max"]
    with own_qemu(tmp_path, *options) as qemu:
        path.rename(tmp_path / "moved")
        path.write_bytes(bytes(96 * MB))
        with attach(qemu.gdb) as target:
            ram = find_ram(target)
            # QEMU itself still has the right one open.
            assert ram.way == Ram.SHARED
            found = os.fstat(ram.open().fileno())
            assert os.path.samestat(found, (tmp_path / "moved").stat())


def test_a_file_that_cannot_be_mapped_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in huge pages.
    large = SimpleNamespace(f_bsize=2 * MB)
    monkeypatch.setattr("ptlive.verify.twins.ram.os.fstatvfs", lambda _: large)
    options = [*memfd("96M", "pc"), "-cpu", "max"]
    with own_qemu(tmp_path, *options) as qemu, attach(qemu.gdb) as target:
        space, plan = about_the_menu(target)
        ram = find_ram(target)
        assert (ram.way, ram.why) == (Ram.COPIED, "the file of the guest's RAM cannot be mapped")
        agree(verify(target, space, Plan(oracles=("twin",), va=plan.va, ram=ram)))
        assert ram.open() is ram.open(), "copied once"


def test_a_video_cards_memory_is_not_the_twins(tmp_path: Path) -> None:
    path = tmp_path / "ram"
    file = f"memory-backend-file,id=ram,size=96M,share=on,mem-path={path}"
    options = ["-object", file, "-m", "96M", "-machine", "pc,memory-backend=ram", "-cpu", "max"]
    with own_qemu(tmp_path, *options, "-vga", "std") as qemu, attach(qemu.gdb) as target:
        video = next(r for r in target.ram_map.regions if r.name == "vga.vram")
        lines = read_menu(menu.ELF, target.memory).lines
        line = next(one for one in lines if one.level == 1 and one.entry & 3 == 3)
        upper = next(one for one in lines if one.level == 2 and one.entry & 0x83 == 3)
        with path.open("r+b") as ram:
            for one in (line, upper):
                ram.seek(one.entry_pa)
                ram.write((video.first | one.entry & 0xFFF).to_bytes(8, "little"))
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        chosen = choose((), target, [space], None)
        assert chosen.oracles == ("twin",)
        va = np.array([line.va, upper.va], dtype=np.uint64) & ~np.uint64(7)
        plan = Plan(oracles=("twin",), va=va, ram=chosen.ram)
        report = verify(target, chosen.spaces[0], plan)
    assert report.disagreements == []
    fault = report.check("twin", "TCG", "fault")
    assert sum(fault.unchecked.values()) >= 8, "of the video card's memory nothing is asked"


def test_the_qmp_of_another_guest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with (
        own_qemu(tmp_path, "-m", "96M", qmp=True) as qemu,
        own_qemu(tmp_path / "other", "-m", "96M", "-cpu", "max", qmp=True) as other,
        Qmp(qemu.qmp) as own,
        Qmp(other.qmp) as wrong,
    ):
        for running, of_other in product((True, False), repeat=2):
            own.command("cont" if running else "stop")
            wrong.command("cont" if of_other else "stop")
            sentence = "is not that of the guest at"
            with pytest.raises(PtliveError, match=sentence), attach(qemu.gdb, qmp=wrong):
                pass
            assert own.running() is running
            assert wrong.running() is of_other


KILLED = """
import sys
from ptlive.memory import capture
from ptlive.target import sources
from ptlive.target.attach import attach
from ptlive.verify.twins.ram import find_ram
with attach(sys.argv[1]) as target:
    find_ram(target).open(lambda done, size: print(done, flush=True))
"""


def test_a_capture_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    def left() -> set[str]:
        return set(glob.glob("/dev/shm/ptlive-*/*") + glob.glob("/tmp/ptlive-*/" + "?" * 32))

    before = left()
    with own_qemu(tmp_path, "-m", "3G", "-cpu", "max", qmp=True) as qemu:
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, qemu.gdb], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            while int(child.stdout.readline()) < 200 * MB:
                pass
            during = left() - before
            child.send_signal(signal.SIGKILL)
        assert len(during) == 1
        deadline = time.monotonic() + 10
        with Qmp(qemu.qmp) as qmp:
            while left() & during or not qmp.running():
                assert time.monotonic() < deadline, "left behind, or left stopped"
                time.sleep(0.02)
