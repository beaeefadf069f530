"""The virtual machine around a guest: its options and its QEMU command line."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.target.running import CPU_LOG
from ptlive.wire.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.guests.recipe import Boot

QEMU = "qemu-system-x86_64"
_UNITS = {"K": 10, "M": 20, "G": 30}
SWAP = "swap.img"
# QEMU's own format for disks (docs/interop/qcow2.txt); anything else is taken for bare sectors.
_QCOW2 = b"QFI\xfb"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a guest runs on.

    `levels` of paging are offered by its CPU (5 or 4, None for as many as it has; the
    guest decides); `accel` is "tcg" or "kvm". The gdb stub listens on `gdb`: `HOST:PORT`
    (port 0: any free one), `unix:PATH`, "free" for a free loopback port, or by default a
    private unix socket. `memory` is in bytes, by default what the guest's recipe
    says; `extra` are more QEMU arguments. Raises PtliveError for what cannot be.
    """

    levels: int | None = 5
    accel: str = "tcg"
    gdb: str | None = None
    memory: int | None = None
    cpus: int = 1
    extra: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.levels not in (4, 5, None):
            raise PtliveError(f"x86-64 pages with 4 or 5 levels, not {self.levels}")
        if self.accel not in ("tcg", "kvm"):
            raise PtliveError(f"no accelerator '{self.accel}': there are tcg and kvm")
        if self.memory is not None and (self.memory <= 0 or self.memory % (1 << 20)):
            raise PtliveError("a guest's RAM is a whole number of megabytes, at least one")
        if self.cpus < 1:
            raise PtliveError("a guest has at least one CPU")
        if self.gdb not in (None, "free"):
            parse_address(str(self.gdb))

    def check_host(self) -> None:
        """Check that this computer can run the machine. Raises PtliveError."""
        if self.accel != "kvm":
            return
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            there = os.path.exists("/dev/kvm")
            why = "may not be opened by this user (group kvm)" if there else "is not there"
            raise PtliveError(f"no KVM here: /dev/kvm {why}; use TCG")
        if self.levels == 5 and not host_has_la57():
            raise PtliveError("KVM has five levels only on a CPU with LA57: use 4 levels or TCG")


def size_of(text: str) -> int:
    """Read a size of RAM, such as 512M, which is also meant by 512. Raises PtliveError."""
    shift = _UNITS.get(text[-1:].upper(), 0)
    number = text[:-1] if shift else text
    if not (number.isascii() and number.isdigit()):
        raise PtliveError(f"{text!r} is no size: give 512M or 2G")
    return int(number) << (shift or _UNITS["M"])


def host_has_la57() -> bool:
    """Tell whether the computer's own CPU has five-level paging, as Linux lists it."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return flags is not None and "la57" in flags[1].split()


def kvm_paging() -> str:
    """Return what stands behind a KVM guest's paging: EPT, NPT, shadow paging or unknown."""
    for module, parameter, name in (("kvm_intel", "ept", "EPT"), ("kvm_amd", "npt", "NPT")):
        try:
            value = Path(f"/sys/module/{module}/parameters/{parameter}").read_text().strip()
        except OSError:
            continue
        return name if value in ("Y", "1") else "shadow paging"
    return "unknown"


def command_line(
    machine: Machine, boot: Boot, *, ram: str, memory: int, gdb: str, folder: Path, sockets: Path
) -> list[str]:
    """Return the QEMU command for a guest.

    `ram` is the path of its RAM file of `memory` bytes, as QEMU sees it; `gdb` the
    address for the stub; logs and SWAP are in `folder`, sockets in `sockets`.
    """
    # Five levels need CPUID's LA57 bit; TCG's "max" has it, KVM's has it as the host does.
    cpu = "max,-la57" if machine.levels == 4 else "max"
    if machine.accel == "tcg":
        cpu = ",".join([cpu, *(f"-{feature}" for feature in boot.without)])
    command = [
        *(QEMU, "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-machine", f"pc,accel={machine.accel},memory-backend=ram"),
        *("-object", f"memory-backend-file,id=ram,size={memory},share=on,mem-path={ram}"),
        *("-m", f"{memory >> 20}M", "-smp", str(machine.cpus), "-cpu", cpu),
        *("-qmp", f"unix:{_comma(sockets / 'qmp.sock')},server=on,wait=off"),
        *("-gdb", _stub_device(gdb)),
        # A socket, so that a person can type to the guest, and a log of all it says.
        "-chardev",
        f"socket,id=serial,path={_comma(sockets / 'serial.sock')},server=on,wait=off,"
        f"logfile={_comma(folder / 'serial.log')}",
        *("-serial", "chardev:serial"),
        *("-debugcon", f"file:{folder / 'debugcon.log'}"),
        # A triple fault leaves no other trace.
        *("-d", "cpu_reset", "-D", str(folder / CPU_LOG)),
    ]
    if boot.firmware:
        command += ["-bios", str(boot.firmware)]
    if boot.kernel:
        command += ["-kernel", str(boot.kernel)]
    if boot.initrd:
        command += ["-initrd", str(boot.initrd)]
    if boot.append:
        command += ["-append", boot.append]
    if boot.swap:
        # NVMe, since the driver is in Debian's cloud kernel itself and needs no module.
        command += ["-drive", f"if=none,id=swap,format=raw,file={_comma(folder / SWAP)}"]
        command += ["-device", "nvme,drive=swap,serial=swap"]
    for disk in boot.disks:
        command += ["-drive", _drive(disk)]
    if boot.cdrom:
        command += ["-drive", f"media=cdrom,format=raw,readonly=on,file={_comma(boot.cdrom)}"]
    if boot.debug_exit is not None:
        command += ["-device", f"isa-debug-exit,iobase={boot.debug_exit:#x},iosize=4"]
    if boot.screen:
        command += ["-vga", "std"]
    return [*command, *machine.extra]


def _drive(disk: Path) -> str:
    """Return the option for a disk of which the file stays as it is: writes go elsewhere."""
    with open(disk, "rb") as file:
        kind = "qcow2" if file.read(len(_QCOW2)) == _QCOW2 else "raw"
    return f"media=disk,format={kind},snapshot=on,file={_comma(disk)}"


def _comma(path: Path | str) -> str:
    """Return a path for QEMU's option parser, which takes a doubled comma for one."""
    return str(path).replace(",", ",,")


def _stub_device(gdb: str) -> str:
    place = parse_address(gdb)
    if isinstance(place, str):
        return f"unix:{_comma(place)},server=on,wait=off"
    host, port = place
    return f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}"
