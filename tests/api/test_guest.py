"""Guests of the library: attached to, kept in a file, opened, booted."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import ptlive
from ptlive.guests import recipe
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from pathlib import Path

    from ptlive.target.running import Guest

pytestmark = pytest.mark.qemu


def running(guest: Guest) -> bool:
    with Qmp(guest.qmp) as qmp:
        return qmp.running()


def test_a_guest_is_held_and_left_as_it_was(linux_guest: Guest) -> None:
    assert running(linux_guest)
    with ptlive.attach(linux_guest.name) as guest:
        assert not running(linux_guest)
        assert guest.name == linux_guest.gdb
        assert (guest.accelerator, guest.memory_source) == ("TCG", "shared")
        space = guest.space()
        assert space.root == guest.vcpus[0].cr3 & ~0xFFF
        assert [one.root for one in guest.spaces()] == [space.root]
        text = space.regions(area="kernel text")
        assert text[0].rights == "r-x-"
        assert text[0].area == "kernel text"
        assert space.verify(addresses=[text[0].va]).ok
    assert running(linux_guest)
    for refused in (lambda: space.translate(0), guest.space, guest.roots, lambda: guest.read(0, 1)):
        with pytest.raises(ptlive.PtliveError, match="given back"):
            refused()
    assert "given back" in repr(guest)


def test_every_way_to_read_memory_gives_the_same(menu_guest_5: Guest) -> None:
    seen = set()
    for memory in ("auto", "stub", "gdb", "qmp"):
        with ptlive.attach(menu_guest_5.gdb, memory=memory) as guest:
            seen.add(str(guest.space().regions()))
    with ptlive.attach(None, qmp=menu_guest_5.qmp) as guest:
        assert guest.memory_source != "stub"
        seen.add(str(guest.space().regions()))
    assert len(seen) == 1


def test_what_cannot_be_attached_to_is_a_sentence(menu_guest_5: Guest) -> None:
    for arguments, why in (
        (("unix:/nowhere",), "nothing listens"),
        (("nobody",), "no guest 'nobody' runs"),
        ((None,), "name it by qmp"),
    ):
        with pytest.raises(ptlive.PtliveError, match=why), ptlive.attach(*arguments):
            pass
    with pytest.raises(ptlive.PtliveError, match="memory is read by one of"):
        ptlive.attach(menu_guest_5.gdb, memory="mind").__enter__()


def test_an_exception_gives_the_guest_back_too(linux_guest: Guest) -> None:
    def script() -> None:
        with ptlive.attach(linux_guest.gdb):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        script()
    assert running(linux_guest)


def test_any_thread_may_hold_a_guest(linux_guest: Guest) -> None:
    found = []

    def work() -> None:
        with ptlive.attach(linux_guest.gdb) as guest:
            found.append(guest.space().verify(addresses=[guest.vcpus[0].rip]).ok)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(90)
    assert found == [True]


def test_a_snapshot_is_the_same_guest(linux_guest: Guest, tmp_path: Path) -> None:
    file = tmp_path / "linux.pts"
    with ptlive.attach(linux_guest.gdb) as guest:
        assert guest.snapshot(file) == ()
        with pytest.raises(ptlive.PtliveError, match="is there already"):
            guest.snapshot(file)
        guest.snapshot(file, force=True)
        space = guest.space()
        with ptlive.open(file) as kept:
            assert kept.memory_source == "snapshot"
            assert not kept.space().diff(space)
            assert str(kept.space().regions()) == str(space.regions())
    with pytest.raises(ptlive.PtliveError, match="cannot read"), ptlive.open(tmp_path / "none"):
        pass


def test_roots_are_found_and_have_address_spaces(linux_guest: Guest) -> None:
    with ptlive.attach(linux_guest.gdb) as guest:
        roots = guest.roots()
        used = [one for one in roots if one.vcpus]
        assert [one.root for one in used] == [guest.space().root]
        assert used[0].confidence == 1
        assert used[0].space().root == guest.space(root=f"#{used[0].number}").root
        assert any(one.kind == "process" for one in roots)
    with pytest.raises(ptlive.PtliveError, match="given back"):
        used[0].space()


def test_guests_are_booted_and_end_with_the_block() -> None:
    kernel = recipe("menu").prepare(lambda _: None).symbols
    assert kernel is not None
    with ptlive.boot("menu", levels=4) as guest:
        assert guest.space().format == "x86-64-4level"
    with ptlive.launch(kernel, ready="at:tables_load") as machine:
        assert machine.alive
        with ptlive.attach(machine.gdb) as guest:
            assert guest.vcpus[0].rip == guest.space().translate(guest.vcpus[0].rip).pa
    assert not machine.alive


def test_what_cannot_be_booted_is_a_sentence() -> None:
    for what, how, why in (
        ("nothing", {}, "no file, and none of the guests"),
        ("menu", {"append": "x"}, "no command line"),
        ("menu", {"ready": "now"}, "only for a system of one's own"),
        ("menu", {"levels": 3}, "not 3"),
    ):
        with pytest.raises(ptlive.PtliveError, match=why):
            ptlive.launch(what, **how).__enter__()


# Real mode, so no paging is on: "cli; hlt" at the beginning of a sector that ends as a BIOS wants.
_SECTOR = b"\xfa\xf4".ljust(510, b"\0") + b"\x55\xaa"


def test_a_disk_boots_without_a_kernel(tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(_SECTOR)
    with ptlive.boot(disks=[disk], ready="now", memory="64M") as guest:
        assert guest.read(0, 4)
    with pytest.raises(ptlive.PtliveError, match="cannot read the CD"):
        ptlive.launch(cdrom=tmp_path / "none.iso").__enter__()
    with pytest.raises(ptlive.PtliveError, match="cannot read the firmware"):
        ptlive.launch(bios=tmp_path / "none.bin").__enter__()
    with pytest.raises(ptlive.PtliveError, match="nothing to boot is named"):
        ptlive.launch().__enter__()
