"""Systems of the user's own: what is asked for, and what really comes of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ptlive
from ptlive.errors import PtliveError
from ptlive.guests import menu, own
from ptlive.target import launch, running
from ptlive.target.machine import Machine
from tests.guests.boot_sector import EXIT, TRIPLE_FAULT, says
from tests.tinyos import TINYOS

if TYPE_CHECKING:
    from ptlive.guests import Boot, Recipe


def boot_of(recipe: Recipe) -> Boot:
    return recipe.prepare(lambda line: pytest.fail(line))


def test_an_elf_kernel_has_its_own_symbols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("k.elf").write_bytes(b"\x7fELF")
    Path("k.bin").write_bytes(b"HdrS")
    Path("k.sym").write_bytes(b"\x7fELF")
    assert boot_of(own.recipe(kernel=Path("k.elf"))).symbols == tmp_path / "k.elf"
    assert boot_of(own.recipe(kernel=Path("k.bin"))).symbols is None
    told = own.recipe(kernel=Path("k.bin"), symbols=Path("k.sym"))
    assert boot_of(told).symbols == tmp_path / "k.sym"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\x7fELF" + bytes(60), "{} has no symbols: it is no whole ELF file"),
        (b"", "where 'main' is cannot be known without an ELF file that has symbols"),
    ],
)
def test_a_place_needs_a_name(tmp_path: Path, content: bytes, sentence: str) -> None:
    kernel = tmp_path / "k"
    kernel.write_bytes(content)
    with pytest.raises(PtliveError) as raised:
        own.recipe(kernel=kernel, ready="at:main")
    assert str(raised.value) == sentence.format(kernel)


@pytest.mark.qemu
def test_a_kernel_is_up_when_it_says_so(tinyos: Path) -> None:
    kernel = tinyos / "build/kernel.elf"
    with launch.temporary(own.recipe(kernel=kernel, ready=r"^tinyos: (\w+)$")) as guest:
        assert (guest.name, guest.kind, guest.levels) == ("own", "own", 4)
        assert guest.said == "tinyos: booting"
        assert guest.symbols == str(kernel)
        assert running.find("own") == guest


@pytest.mark.qemu
def test_a_kernel_is_stopped_at_a_place(tinyos: Path) -> None:
    recipe = own.recipe(kernel=tinyos / "build/kernel.elf", ready="at:process_made")
    with launch.temporary(recipe) as guest, ptlive.attach(guest.gdb) as held:
        assert guest.said == "stopped at process_made"
        assert "tinyos: up" not in guest.serial_log.read_text()
        names = subprocess.check_output(["nm", str(tinyos / "build/kernel.elf")], text=True)
        (line,) = (one for one in names.splitlines() if one.endswith(" process_made"))
        assert held.vcpus[0].rip == int(line.split()[0], 16)
        assert held.space().translate(0x400000)  # the process is there


@pytest.mark.qemu
def test_a_place_that_is_not_come_to_is_told(tinyos: Path) -> None:
    recipe = own.recipe(kernel=tinyos / "build/kernel.elf", ready="at:panic", patience=1)
    expected = (
        "guest own was not up after 1 s: it did not come to panic; "
        "last words: tinyos: booting | tinyos: paging | tinyos: up"
    )
    with pytest.raises(PtliveError) as raised, launch.temporary(recipe):
        pytest.fail("it is not there")
    assert str(raised.value) == expected


@pytest.mark.qemu
def test_other_levels_than_were_asked_for_are_told(tinyos: Path) -> None:
    recipe = own.recipe(kernel=tinyos / "build/kernel.elf", ready="tinyos: up")
    expected = "runs with 4 levels of paging, not 5"
    with pytest.raises(PtliveError, match=expected), launch.temporary(recipe, Machine(levels=5)):
        pytest.fail("it pages with four")


@pytest.mark.qemu
def test_a_disk_boots_and_stays_as_it_is(tmp_path: Path) -> None:
    disk = tmp_path / "disk, raw"
    disk.write_bytes(says("disk: up\n"))
    before = disk.stat()
    with launch.temporary(own.recipe(disks=[disk], ready="^disk: up$")) as guest:
        assert (guest.levels, guest.said) == (0, "disk: up")
        assert guest.debug_log.read_text().endswith("disk: up\n")
    assert disk.stat() == before


@pytest.mark.qemu
@pytest.mark.parametrize(
    ("code", "why"),
    [(EXIT, "0x10 was written to isa-debug-exit"), (TRIPLE_FAULT, "a triple fault")],
    ids=["exit", "triple fault"],
)
def test_how_a_system_ended_is_told(tmp_path: Path, code: bytes, why: str) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(says("bye\n", code))
    with (
        pytest.raises(PtliveError) as raised,
        launch.temporary(own.recipe(disks=[disk], ready="never", debug_exit=0xF4)),
    ):
        pytest.fail("it never is")
    assert str(raised.value) == f"guest own ended while booting: {why}; last words: bye"


@pytest.mark.qemu
def test_how_a_system_ended_after_it_was_up_can_be_asked(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(says("done\n", EXIT))
    with launch.temporary(own.recipe(disks=[disk], ready="done", debug_exit=0xF4)) as guest:
        launch.wait_end(guest, 10)
        assert (guest.alive, guest.exit_code, guest.debug_exit) == (False, 33, 16)


@pytest.mark.qemu
def test_what_cannot_be_booted_is_told_in_qemus_words(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no kernel")
    expected = "QEMU did not start; its last words: .*invalid kernel header"
    with pytest.raises(PtliveError, match=expected), launch.temporary(own.recipe(kernel=text)):
        pytest.fail("it is no kernel")


@pytest.mark.qemu
def test_firmware_and_bundled_kernels_are_systems_like_others() -> None:
    recipe = own.recipe(kernel=menu.ELF, ready=r"menu: levels=(?P<levels>\d)")
    with launch.temporary(recipe) as guest:
        assert guest.levels == 5


def test_the_example_is_where_it_is_looked_for() -> None:
    assert (TINYOS / "Makefile").exists()
