"""One stopped guest read through every source: the same leaves, and the same holes."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.guests import menu
from ptlive.guests.said.menu import read_menu
from ptlive.memory import proc
from ptlive.memory.ram_map import Kind
from ptlive.paging.paths import leaves
from ptlive.space import open_space
from ptlive.target import sources
from ptlive.target.attach import attach
from ptlive.target.by_qmp import attach_by_qmp
from ptlive.wire.qmp import Qmp
from tests.qemu_process import PATTERN_AT, still_guest
from tests.verify.own_qemu import own_qemu

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.arrays import Memory
    from ptlive.target.attach import Target
    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu


def memfd(name: str, size: str) -> list[str]:
    return ["-object", f"memory-backend-memfd,id={name},size={size}"]


def file(name: str, size: str, path: str) -> list[str]:
    return ["-object", f"memory-backend-file,id={name},size={size},share=on,mem-path={path}"]


def seen(target: Target, memory: Memory) -> tuple[str, int]:
    """Return a digest of all leaves and of ROM, and how many leaves there are."""
    space = open_space(target.cpus[0], memory, target.ram_map)
    graph = space.walk()
    digest = hashlib.sha256()
    for chunk in leaves(graph):
        for column in (chunk.va, chunk.pa, chunk.rights, chunk.entry_pa):
            digest.update(np.ascontiguousarray(column).tobytes())
    ends = [r for r in target.ram_map.regions if r.kind in (Kind.RAM, Kind.ROM)]
    # What no table lies in: ROM, and the last bytes of each region, with what follows.
    odd = u64(*(r.first for r in ends), *(r.last - 7 for r in ends), *(r.last - 3 for r in ends))
    data, valid = memory.read(odd, 8)
    digest.update(data.tobytes() + valid.tobytes())
    return digest.hexdigest(), graph.leaves


MACHINES = {
    "plain": ["-m", "96M"],
    "q35, split at 128 MB": [
        *("-m", "192M", *memfd("ram", "192M")),
        *("-machine", "q35,memory-backend=ram,max-ram-below-4g=128M"),
    ],
    "pc, split, in a file": [
        *("-m", "192M", *file("ram", "192M", "FOLDER/r a m")),
        *("-machine", "pc,memory-backend=ram,max-ram-below-4g=128M"),
    ],
    "two nodes": [
        *("-m", "128M", *memfd("a", "64M"), *memfd("b", "64M")),
        *("-numa", "node,memdev=a", "-numa", "node,memdev=b"),
    ],
    "two nodes, one of them private": [
        *("-m", "128M", *memfd("a", "96M"), "-object", "memory-backend-ram,id=b,size=32M"),
        *("-numa", "node,memdev=a", "-numa", "node,memdev=b"),
    ],
    "named by the whole path": [
        *("-m", "96M", *memfd("ram", "96M"), "-machine", "pc-i440fx-4.0,memory-backend=ram"),
    ],
    "with video memory": [
        *("-m", "96M", *memfd("ram", "96M"), "-machine", "pc,memory-backend=ram", "-vga", "std"),
    ],
}


@pytest.mark.parametrize("name", MACHINES)
def test_every_source_shows_the_same(tmp_path: Path, name: str) -> None:
    options = [option.replace("FOLDER", str(tmp_path)) for option in MACHINES[name]]
    possible = ("proc", "qmp") if name == "plain" else ("shared", "proc", "qmp")
    found: dict[str, tuple[str, int]] = {}
    with own_qemu(tmp_path, "-cpu", "max", *options, qmp=True) as qemu, Qmp(qemu.qmp) as qmp:
        qmp.command("stop")
        with attach(qemu.gdb, qmp=qmp) as target:
            found["attached"] = seen(target, target.memory)
            for source in ("shared", "proc", "qmp"):
                if source in possible:
                    chosen = sources.choose(target, source)
                    assert (chosen.name, chosen.why) == (source, ())
                    found[f"attached, {source}"] = seen(target, chosen.memory)
                else:
                    with pytest.raises(PtliveError, match=f"cannot be read by {source}: the"):
                        sources.choose(target, source)
            best = sources.choose(target)
            assert best.name == ("shared" if "shared" in possible else "proc")
            assert len(best.why) == ("shared" not in possible)
            # The menu guest states its own mappings: that they were read at all.
            assert len(read_menu(menu.ELF, best.memory).lines) > 150
        with attach_by_qmp(qmp) as target:
            found["without a stub"] = seen(target, target.memory)
            for source in possible:
                found[f"without a stub, {source}"] = seen(
                    target, sources.choose(target, source).memory
                )
    assert found["attached"][1] > 500
    assert set(found.values()) == {found["attached"]}, found


def test_through_gdb_and_by_our_packets(menu_guest_5: Guest) -> None:
    for name in ("stub", "gdb"):
        with attach(menu_guest_5.gdb, transport=name) as target:
            chosen = sources.choose(target, name, menu_guest_5)
            assert chosen.name == target.memory_source == name
            shared = sources.choose(target, "auto", menu_guest_5)
            assert seen(target, chosen.memory) == seen(target, shared.memory)
            other = {"stub": "gdb", "gdb": "stub"}[name]
            with pytest.raises(PtliveError, match=f"the guest is attached by {name}"):
                sources.choose(target, other, menu_guest_5)


def test_a_write_through_the_stub_shows_in_every_source(menu_guest_5: Guest) -> None:
    """As the stepped probe writes, and reads back through what the walker uses."""
    with ExitStack() as stack:
        qmp = stack.enter_context(Qmp(menu_guest_5.qmp))
        target = stack.enter_context(attach(menu_guest_5.gdb, qmp=qmp))
        at = (target.cpus[0].cr3 & ~0xFFF) + 511 * 8
        ways = [sources.choose(target, name, menu_guest_5) for name in ("shared", "proc", "qmp")]
        memories = [target.memory, *(way.memory for way in ways)]
        before = {memory.read(u64(at), 8)[0].tobytes() for memory in memories}
        assert len(before) == 1
        old = before.pop()
        new = bytes(byte ^ 0xA4 for byte in old)
        target.journal.record_memory(at, old)
        target.stub.write_physical([(at, new)])
        assert {memory.read(u64(at), 8)[0].tobytes() for memory in memories} == {new}


def test_qmp_that_nobody_named(menu_guest_5: Guest) -> None:
    sentence = r"by qmp: no QMP is known \(--qmp names it\)"
    with attach(menu_guest_5.gdb) as target, pytest.raises(PtliveError, match=sentence):
        sources.choose(target, "qmp")


def test_when_tracing_is_not_permitted_the_next_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        ctypes.set_errno(errno.EPERM)
        return -1

    monkeypatch.setattr(proc._libc, "process_vm_readv", refused)
    with own_qemu(tmp_path, "-m", "96M", "-cpu", "max") as qemu, attach(qemu.gdb) as target:
        chosen = sources.choose(target)
        assert chosen.name == target.memory_source
        assert chosen.why == (
            "not shared: the guest's RAM is not shared",
            f"not proc: QEMU's process {qemu.pid} may not be read by this user "
            "(ptrace is not permitted)",
        )
        assert chosen.memory is target.memory


def test_a_tcp_stub_leads_to_the_process_too(tmp_path: Path) -> None:
    options = ["-m", "96M", "-cpu", "max", "-qmp", "tcp:127.0.0.1:0,server=on,wait=off"]
    with own_qemu(tmp_path, *options, qmp=True) as qemu:
        with Qmp(qemu.qmp) as first:
            devices = first.command("query-chardev")
            assert isinstance(devices, list)
            names = [one["filename"] for one in devices]
        tcp = next(name for name in names if name.startswith("disconnected:tcp:"))
        address = tcp.split(",")[0].removeprefix("disconnected:tcp:")
        with Qmp(address) as qmp:
            assert qmp.pid == qemu.pid
            qmp.command("stop")
            with attach_by_qmp(qmp) as target:
                assert sources.choose(target).name == "proc"


@pytest.mark.parametrize("source", ["shared", "proc", "qmp", "attached"])
def test_a_guest_that_ends_meanwhile_is_one_sentence(tmp_path: Path, source: str) -> None:
    options = ["-m", "96M", *memfd("ram", "96M"), "-machine", "pc,memory-backend=ram"]

    def work(gdb: str, control: str, pid: int) -> None:
        with Qmp(control) as qmp, attach(gdb, qmp=qmp) as target:
            memory = target.memory
            if source != "attached":
                memory = sources.choose(target, source).memory
            before = memory.read(u64(1 << 20), 8)[0].tobytes()
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            if source == "shared":
                # It is still mapped: that the guest is gone shows when it is given back.
                assert memory.read(u64(1 << 20), 8)[0].tobytes() == before
            else:
                with pytest.raises(PtliveError):
                    memory.read(u64(2 << 20), 8)

    with (
        own_qemu(tmp_path, "-cpu", "max", *options, qmp=True) as qemu,
        pytest.raises(PtliveError, match="could not be put back"),
    ):
        work(qemu.gdb, qemu.qmp, qemu.pid)


def test_a_stub_on_tcp_tells_its_process(tmp_path: Path) -> None:
    with still_guest(tmp_path, tcp=True) as guest, attach(guest.gdb) as target:
        assert target.pid == guest.process.pid
        for name in ("shared", "proc"):
            row = sources.choose(target, name).memory.read(u64(PATTERN_AT), 8)[0]
            assert row.tobytes() == PATTERN_AT.to_bytes(8, "little")
