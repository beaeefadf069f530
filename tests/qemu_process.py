"""A QEMU whose guest never changes by itself: two bytes of ROM that jump to themselves.

So RAM, registers and run state can be compared byte for byte, running or stopped.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.wire.address import StubAddress
from ptlive.wire.qmp import Qmp
from ptlive.wire.raw import RawStub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RAM_BYTES = 16 << 20
PATTERN_AT = 0x100000

_JUMP_TO_SELF = b"\xeb\xfe"


@dataclass
class Qemu:
    """One QEMU under test, with its stub's address and its RAM as a file."""

    process: subprocess.Popen[bytes]
    gdb: str
    qmp: Qmp
    ram: Path

    def running(self) -> bool:
        status = self.qmp.command("query-status")
        assert isinstance(status, dict)
        return bool(status["running"])

    def state(self) -> tuple[str, str, bool]:
        """RAM's digest, all registers of all vCPUs, and whether it runs."""
        digest = hashlib.sha256(self.ram.read_bytes()).hexdigest()
        return digest, self.qmp.human("info registers -a"), self.running()

    def phy_mem_mode(self, switch_to: int | None = None) -> int:
        """Ask the stub, and perhaps tell it; a running guest runs on afterwards."""
        was_running = self.running()
        deadline = time.monotonic() + 5
        while True:
            with RawStub(StubAddress.parse(self.gdb).connect(5)) as stub:
                try:
                    mode = int(stub.ask(b"qqemu.PhyMemMode"))
                    break
                except TimeoutError:
                    assert time.monotonic() < deadline
        if switch_to is not None:
            with RawStub(StubAddress.parse(self.gdb).connect(5)) as stub:
                assert stub.ask(b"Qqemu.PhyMemMode:%d" % switch_to) == b"OK"
        if was_running:
            self.qmp.command("cont")
        return mode

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def still_guest(
    folder: Path,
    *,
    stopped: bool = False,
    vcpus: int = 1,
    tcp: bool = False,
    accelerator: str = "tcg",
) -> Iterator[Qemu]:
    """Boot the guest that does nothing; `stopped` leaves it before its first instruction."""
    rom = bytearray(1 << 16)
    rom[0xFFF0:0xFFF2] = _JUMP_TO_SELF
    (folder / "rom").write_bytes(rom)
    ram = folder / "ram"
    with ram.open("wb") as file:
        file.truncate(RAM_BYTES)
        file.seek(PATTERN_AT)
        for at in range(PATTERN_AT, RAM_BYTES, 4096):
            file.write(at.to_bytes(8, "little") * 512)
    socket, control = folder / "gdb", folder / "qmp"
    memory = f"memory-backend-file,id=ram,size={RAM_BYTES},mem-path={ram},share=on"
    command = ["qemu-system-x86_64", "-machine", "pc,memory-backend=ram", "-object", memory]
    command += ["-m", f"{RAM_BYTES >> 20}", "-nodefaults", "-display", "none", "-cpu", "max"]
    command += ["-accel", accelerator]
    command += ["-smp", str(vcpus), "-bios", str(folder / "rom")]
    command += ["-qmp", f"unix:{control},server=on,wait=off"]
    device = (
        "tcp:127.0.0.1:0,server=on,wait=off,nodelay=on"
        if tcp
        else f"unix:{socket},server=on,wait=off"
    )
    command += ["-chardev", f"socket,id=gdb,{_chardev(device)}", "-gdb", "chardev:gdb"]
    if stopped:
        command.append("-S")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        qmp = _connect(f"unix:{control}", process)
        try:
            yield Qemu(process, _address(qmp) if tcp else f"unix:{socket}", qmp, ram)
        finally:
            qmp.close()
    finally:
        process.kill()
        process.wait()


def _connect(control: str, process: subprocess.Popen[bytes]) -> Qmp:
    while True:
        assert process.poll() is None, "QEMU did not start"
        try:
            return Qmp(control)
        except PtliveError:
            time.sleep(0.01)


def _chardev(device: str) -> str:
    kind, _, rest = device.partition(":")
    place, _, options = rest.partition(",")
    if kind == "unix":
        return f"path={place},{options}"
    host, _, port = place.rpartition(":")
    return f"host={host},port={port},{options}"


def _address(qmp: Qmp) -> str:
    """The loopback port that the kernel chose."""
    devices = qmp.command("query-chardev")
    assert isinstance(devices, list)
    name = next(device["filename"] for device in devices if device["label"] == "gdb")
    return f"127.0.0.1:{name.split(',')[0].rpartition(':')[2]}"
