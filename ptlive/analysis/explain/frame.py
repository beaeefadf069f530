"""What the CPU pushed when it took a page fault (SDM vol. 3A 6.14.2, 6.12.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ptlive.paging.access import Fault

PAGE_FAULT = 14
#: Bytes of a gate in the IDT (SDM vol. 3A 6.11, 6.14.1).
GATE, GATE_32 = 16, 8
_PRESENT, _TYPE, _GATES = 0x80, 0xF, (0xE, 0xF)  # interrupt and trap gates

# RFLAGS: bit 1 is always 1; bits 3, 5, 15 and 22 to 63 are always 0 (SDM vol. 1 3.4.3).
_FLAGS_ONE, _FLAGS_ZERO = 1 << 1, (1 << 3) | (1 << 5) | (1 << 15) | ~((1 << 22) - 1)
_CODE_BITS = int(Fault.SGX | Fault.HLAT) | 0x7F


@dataclass(frozen=True)
class Frame:
    """The frame of a page fault, at the linear address `at`.

    rsp, ss: None where none were pushed: in 32-bit mode without a change of privilege
    """

    at: int
    error_code: int
    rip: int
    cs: int
    rflags: int
    rsp: int | None
    ss: int | None

    @property
    def cpl(self) -> int:
        """The privilege level that was interrupted."""
        return self.cs & 3


def parse_gate(data: bytes, *, wide: bool = True) -> int | None:
    """Return the handler's address in a gate of the IDT; None if it is no present gate.

    wide: 16 bytes, as in long mode
    """
    if len(data) < (GATE if wide else GATE_32):
        return None
    low, _, _, kind, middle = struct.unpack_from("<HHBBH", data)
    if not kind & _PRESENT or kind & _TYPE not in _GATES:
        return None
    high = struct.unpack_from("<I", data, 8)[0] if wide else 0
    return int(low | middle << 16 | high << 32)


def frame_bytes(*, wide: bool = True) -> int:
    """Return how long a frame is at most."""
    return 6 * (8 if wide else 4)


def parse_frame(data: bytes, at: int, *, wide: bool = True) -> Frame:
    """Return the frame in these bytes; in long mode SS:RSP is always pushed."""
    code, rip, cs, rflags, rsp, ss = struct.unpack("<6Q" if wide else "<6I", data)
    if not wide and cs & 3 == 0:
        return Frame(at, code, rip, cs, rflags, None, None)
    return Frame(at, code, rip, cs, rflags, rsp, ss)


def doubts(frame: Frame, cr2: int, longest: int = 15) -> list[str]:
    """Return why this is no frame of a page fault at `cr2`; nothing if it looks like one.

    longest: bytes of an instruction
    """
    code = frame.error_code
    said = []
    if code & ~_CODE_BITS:
        said.append(f"{code:#x} is no error code of a page fault")
    if frame.rflags & _FLAGS_ZERO or not frame.rflags & _FLAGS_ONE:
        said.append(f"{frame.rflags:#x} are no RFLAGS")
    if frame.cs >> 16 or (frame.ss or 0) >> 16 or not frame.cs & ~3:
        said.append(f"{frame.cs:#x} and {frame.ss or 0:#x} are no selectors of code and stack")
    if code & Fault.US and frame.cpl != 3:
        said.append(f"a user-mode access at privilege level {frame.cpl}")
    if code & Fault.ID and not 0 <= cr2 - frame.rip < longest:
        said.append(f"a fetch at {cr2:#x} is none of the instruction at {frame.rip:#x}")
    if code & Fault.ID and code & Fault.WR:
        said.append("a fetch that writes")
    return said
