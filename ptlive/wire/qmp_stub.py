"""The reading half of the stub protocol over QMP, for a guest whose stub is not ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from ptlive.arrays import u64
from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ptlive.arrays import U8, U64, Bool, Memory
    from ptlive.wire.qmp import Qmp

# target/i386/cpu-dump.c, x86_cpu_dump_state: "RIP=... RFL=..." of a vCPU that executes
# 64-bit code, "EIP=... EFL=..." of another; "CS =0033 base limit flags"; "HLT=0".
_CPU = re.compile(r"^\s*CPU#(\d+)\s*$", re.MULTILINE)
_VALUE = re.compile(r"\b([A-Z][A-Z0-9]{1,3}) ?= ?([0-9a-f]+)")
_BASE = re.compile(r"^(FS|GS) =[0-9a-f]+ ([0-9a-f]+)", re.MULTILINE)
_NAMES = {
    **{f"R{n}": f"r{n}" for n in range(8, 16)},
    **{f"{wide}{name}": f"r{name.lower()}" for wide in "RE" for name in ("AX", "BX", "CX", "DX")},
    **{f"{wide}{name}": f"r{name.lower()}" for wide in "RE" for name in ("SI", "DI", "BP", "SP")},
    "RIP": "rip",
    "EIP": "rip",
    "RFL": "eflags",
    "EFL": "eflags",
    "EFER": "efer",
    **{name: name.lower() for name in ("CS", "SS", "DS", "ES", "FS", "GS")},
    **{name: name.lower() for name in ("CR0", "CR2", "CR3", "CR4")},
}
_NEEDED = frozenset({"rip", "eflags", "cs", "ss", "cr0", "cr2", "cr3", "cr4", "efer"})
_SWITCH = re.compile(r"cpu (\d+)\s*$")
_PAGE = 1 << 12


def parse_registers(text: str) -> dict[int, dict[str, int]]:
    """Return what `info registers -a` prints: of each vCPU, from 1, registers by name.

    The names are the stub's; "hlt" is whether it sleeps in HLT. Raises PtliveError for
    a vCPU without the registers that paging depends on.
    """
    _, *parts = _CPU.split(text.replace("\r", ""))
    found = {}
    for number, dump in zip(parts[::2], parts[1::2], strict=True):
        values = {
            _NAMES.get(name, name.lower()): int(digits, 16)
            for name, digits in _VALUE.findall(dump)
            if name in _NAMES or name == "HLT"
        }
        values |= {f"{name.lower()}_base": int(base, 16) for name, base in _BASE.findall(dump)}
        missing = _NEEDED - values.keys()
        if missing:
            raise PtliveError(
                f"QEMU does not tell {min(missing)} of vCPU {int(number) + 1} (info registers)"
            )
        found[int(number) + 1] = values
    return found


class QmpStub:
    """A guest seen through QMP: implements what `ptlive.wire.stub.Stub` reads.

    memory: its physical memory. What writes, steps or runs raises PtliveError, as does
    everything once the connection is lost.
    """

    generation = 0

    def __init__(self, qmp: Qmp, memory: Memory) -> None:
        self._qmp, self._memory = qmp, memory
        self._cpu = 0

    def read_physical(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `Stub`."""
        return self._memory.read(addresses, length)

    def read_virtual(self, va: int, length: int, vcpu: int = 1) -> bytes | None:
        """See `Stub`; each page is translated by the monitor's gva2gpa."""
        data = b""
        while len(data) < length:
            at = va + len(data)
            size = min(length - len(data), _PAGE - at % _PAGE)
            # Of the monitor's own CPU nothing is remembered from one QMP command to the next.
            _, said = self.monitor_many([f"cpu {vcpu - 1}", f"gva2gpa {at:#x}"])
            # C's %# prints 0 without 0x (QEMU: hmp_gva2gpa).
            match = re.search(r"gpa: ((?:0x)?[0-9a-f]+)", said)
            if match is None:
                return None
            row, valid = self._memory.read(u64(int(match[1], 16)), size)
            if not valid[0]:
                return None
            data += row[0].tobytes()
        return data

    def vcpus(self) -> Sequence[int]:
        """See `Stub`."""
        return sorted(self._dump())

    def halted(self, vcpu: int) -> bool | None:
        """See `Stub`."""
        hlt = self._file(vcpu).get("hlt")
        return None if hlt is None else bool(hlt)

    def registers(self, vcpu: int) -> dict[str, int]:
        """See `Stub`: of those that the monitor prints."""
        return {name: value for name, value in self._file(vcpu).items() if name != "hlt"}

    def monitor(self, command: str) -> str:
        """See `Stub`."""
        switch = _SWITCH.match(command)
        if switch is not None:
            # Each QMP command has a monitor of its own (monitor/misc.c,
            # qmp_human_monitor_command): which CPU is meant goes with the command.
            self._cpu = int(switch[1])
            return ""
        arguments: dict[str, object] = {"command_line": command}
        if self._cpu:
            arguments["cpu_index"] = self._cpu
        return str(self._qmp.command("human-monitor-command", **arguments))

    def monitor_many(self, commands: Sequence[str]) -> list[str]:
        """See `Stub`; one after the other."""
        return [self.monitor(command) for command in commands]

    def write_physical(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Refuse."""
        _refuse("writing memory")

    def write_registers(self, vcpu: int, values: Mapping[str, int]) -> None:
        """Refuse."""
        _refuse("writing registers")

    def register_packets(self, values: Mapping[str, int]) -> Sequence[str]:
        """Refuse."""
        _refuse("writing registers")

    def step(self, vcpu: int, values: Mapping[str, int] | None = None) -> dict[str, int]:
        """Refuse."""
        _refuse("stepping a vCPU")

    def run_to(self, vcpu: int, address: int, seconds: float) -> bool:
        """Refuse."""
        _refuse("letting the guest run")

    def close(self, *, resume: bool) -> None:
        """Do nothing: nothing was changed."""

    def _dump(self) -> dict[int, dict[str, int]]:
        return parse_registers(self._qmp.human("info registers -a"))

    def _file(self, vcpu: int) -> dict[str, int]:
        files = self._dump()
        if vcpu not in files:
            raise PtliveError(f"the guest has no vCPU {vcpu}")
        return files[vcpu]


def _refuse(what: str) -> NoReturn:
    raise PtliveError(f"{what} needs the gdb stub, which --gdb none and --live leave alone")
