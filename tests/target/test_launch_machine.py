"""The QEMU command line of a machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ptlive.errors import PtliveError
from ptlive.guests import Boot
from ptlive.target import machine
from ptlive.target.machine import Machine, command_line


def build(given: Machine, boot: Boot | None = None, gdb: str = "127.0.0.1:1234") -> list[str]:
    return command_line(
        given,
        boot or Boot(kernel=Path("/k")),
        ram="/ram",
        memory=256 << 20,
        gdb=gdb,
        folder=Path("/run/a,b"),
        sockets=Path("/run/a,b"),
    )


def option(command: list[str], name: str) -> str:
    assert command.count(name) == 1
    return command[command.index(name) + 1]


def test_ram_is_a_shared_file_of_the_size_that_the_guest_sees() -> None:
    command = build(Machine())
    assert option(command, "-object") == (
        "memory-backend-file,id=ram,size=268435456,share=on,mem-path=/ram"
    )
    assert option(command, "-machine") == "pc,accel=tcg,memory-backend=ram"
    assert option(command, "-m") == "256M"


def test_levels_are_the_cpus() -> None:
    assert option(build(Machine(levels=5)), "-cpu") == "max"
    assert option(build(Machine(levels=4)), "-cpu") == "max,-la57"


@pytest.mark.parametrize(
    ("gdb", "device"),
    [
        ("127.0.0.1:1234", "tcp:127.0.0.1:1234"),
        ("[::1]:0", "tcp:[::1]:0"),
        (":1234", "tcp:127.0.0.1:1234"),
        ("unix:/a,b/gdb.sock", "unix:/a,,b/gdb.sock,server=on,wait=off"),
    ],
)
def test_the_stub_listens_where_it_is_told(gdb: str, device: str) -> None:
    assert option(build(Machine(gdb=gdb), gdb=gdb), "-gdb") == device


def test_a_comma_in_a_path_does_not_end_an_option() -> None:
    assert option(build(Machine()), "-qmp") == "unix:/run/a,,b/qmp.sock,server=on,wait=off"


def test_a_kernel_gets_its_initramfs_and_command_line() -> None:
    boot = Boot(kernel=Path("/k"), initrd=Path("/i"), append="console=ttyS0")
    command = build(Machine(cpus=2, extra=("-S",)), boot)
    assert option(command, "-kernel") == "/k"
    assert option(command, "-initrd") == "/i"
    assert option(command, "-append") == "console=ttyS0"
    assert option(command, "-smp") == "2"
    assert command[-1] == "-S"
    assert "-initrd" not in build(Machine())


def test_a_guest_that_may_swap_has_a_disk_for_it() -> None:
    command = build(Machine(), Boot(kernel=Path("/k"), swap=1 << 26))
    assert option(command, "-drive") == "if=none,id=swap,format=raw,file=/run/a,,b/swap.img"
    assert option(command, "-device") == "nvme,drive=swap,serial=swap"
    assert "-drive" not in build(Machine())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"levels": 3}, "4 or 5 levels, not 3"),
        ({"accel": "xen"}, "no accelerator 'xen'"),
        ({"memory": 1000}, "whole number of megabytes"),
        ({"memory": 0}, "whole number of megabytes"),
        ({"cpus": 0}, "at least one CPU"),
        ({"gdb": "nonsense"}, "'nonsense' is no address"),
        ({"gdb": "host:99999"}, "'host:99999' is no address"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PtliveError, match=sentence):
        Machine(**wrong)


def test_kvm_without_la57_has_four_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: True)
    monkeypatch.setattr(machine, "host_has_la57", lambda: False)
    with pytest.raises(PtliveError, match="KVM has five levels only on a CPU with LA57"):
        Machine(accel="kvm").check_host()
    Machine(accel="kvm", levels=4).check_host()


def test_kvm_that_may_not_be_opened_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os.path, "exists", lambda _: True)
    with pytest.raises(PtliveError, match="may not be opened by this user"):
        Machine(accel="kvm", levels=4).check_host()


def test_firmware_takes_the_place_of_a_kernel_and_tcg_is_shown_less() -> None:
    boot = Boot(firmware=Path("/fw"), without=("cx16", "x"))
    line = build(Machine(levels=4), boot)
    assert option(line, "-bios") == "/fw"
    assert "-kernel" not in line
    assert option(line, "-cpu") == "max,-la57,-cx16,-x"
    line = build(Machine(levels=4, accel="kvm"), Boot(kernel=Path("/k"), without=("cx16",)))
    assert "-bios" not in line
    assert option(line, "-cpu") == "max,-la57"


def test_a_machine_that_is_not_to_have_so_many_levels_has_all(tmp_path: Path) -> None:
    assert option(build(Machine(levels=None)), "-cpu") == "max"


def test_images_stay_as_they_are(tmp_path: Path) -> None:
    raw, qcow, cd = tmp_path / "raw,1", tmp_path / "q", tmp_path / "cd.iso"
    raw.write_bytes(bytes(512))
    qcow.write_bytes(b"QFI\xfb" + bytes(508))
    command = build(Machine(), Boot(disks=(raw, qcow), cdrom=cd))
    drives = [command[at + 1] for at, word in enumerate(command) if word == "-drive"]
    assert drives == [
        f"media=disk,format=raw,snapshot=on,file={tmp_path}/raw,,1",
        f"media=disk,format=qcow2,snapshot=on,file={qcow}",
        f"media=cdrom,format=raw,readonly=on,file={cd}",
    ]


def test_a_port_to_end_qemu_by_and_a_screen() -> None:
    command = build(Machine(), Boot(kernel=Path("/k"), debug_exit=0xF4, screen=True))
    assert option(command, "-device") == "isa-debug-exit,iobase=0xf4,iosize=4"
    assert option(command, "-vga") == "std"
    assert "-vga" not in build(Machine())
