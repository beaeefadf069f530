"""PKRU and memory types of a stopped guest, which no debugger's interface of QEMU tells.

`xen-save-devices-state` (migration/savevm.c) writes the state of all devices and vCPUs, and
no RAM, in a millisecond. It works without Xen, and with `live` false it changes neither the
run state nor the disks, unlike a migration.
"""

from __future__ import annotations

import os
import re
import struct
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from ptlive.errors import PtliveError
from ptlive.memory.scratch import folders, scratch
from ptlive.wire.qmp import Qmp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.target.attach import Target
    from ptlive.target.cpu import CpuState
    from ptlive.target.running import Guest

# docs/devel/migration.rst, "Stream structure". A section: its kind (4: full), number, name,
# instance (the vCPU, from 0) and version; then its fields and subsections; then a footer.
_MAGIC = b"QEVM"
_SECTION = b"\x04(....)\x03cpu(....)(....)"
_FOOTER = b"\x7e"
# target/i386/machine.c, vmstate_pkru: there only if PKRU is not 0.
_PKRU = b"\x05\x08cpu/pkru\x00\x00\x00\x01(....)"
# vmstate_x86_cpu, whose fields follow each other without names: from CR0 to the variable MTRRs.
_FIELDS = struct.Struct(
    ">4Q 64x 4x 4x 256x"  # CR0, CR2, CR3, CR4; DR0-7, a20_mask, mxcsr, 16 XMM registers
    "Q 40x 4x Q 4x"  # EFER; STAR to KERNEL_GS_BASE, smbase; PAT; hflags2
    "32x 12x 1x"  # SVM's state, v_tpr
    "11Q Q 16Q"  # fixed MTRRs, IA32_MTRR_DEF_TYPE, variable ones: base and mask
)
# Without RAM it has some 10 KB per device.
_LONGEST = 64 << 20
# Memory types that a field of IA32_PAT may hold (SDM vol. 3A table 11-10).
_PAT = {0, 1, 4, 5, 6, 7}
# A session with a bundled guest's QMP is there at once, or somebody else has it.
_QMP_SECONDS = 1.0


class SavedTypes(NamedTuple):
    """What a vCPU has that gives pages their memory types.

    pat: IA32_PAT; default: IA32_MTRR_DEF_TYPE; fixed: from IA32_MTRR_FIX64K_00000 on;
    variable: (base, mask) of each
    """

    pat: int
    default: int
    fixed: tuple[int, ...]
    variable: tuple[tuple[int, int], ...]


@contextmanager
def qmp_of(target: Target, guest: Guest | None) -> Iterator[Qmp | None]:
    """Yield the QMP of an attached guest, opened if it is a bundled one; None if there is none.

    guest: the bundled guest that it is, if it is one
    """
    with ExitStack() as stack:
        qmp = target.qmp
        if qmp is None and guest is not None and target.file is None:
            with suppress(PtliveError):
                qmp = stack.enter_context(Qmp(guest.qmp, timeout=_QMP_SECONDS))
        yield qmp


def memory_types_of(target: Target, guest: Guest | None) -> SavedTypes | None:
    """Return PAT and MTRRs of the first vCPU, if QEMU or a file tells them; see `qmp_of`.

    The guest must be stopped.
    """
    if target.file is not None:
        return target.file.memory_types
    with qmp_of(target, guest) as qmp:
        if qmp is None:
            return None
        return read_memory_types(qmp, target.cpus[0], target.journal.record_folder)


def read_pkru(qmp: Qmp, vcpu: int, announce: Callable[[str], None]) -> int | None:
    """Return PKRU of a vCPU, from 1; None if QEMU does not tell.

    The guest must be stopped; it stays as it is. announce: see `scratch`.
    """
    stream = _saved(qmp, announce)
    return None if stream is None else parse_pkru(stream, vcpu)


def read_memory_types(
    qmp: Qmp, cpu: CpuState, announce: Callable[[str], None]
) -> SavedTypes | None:
    """Return PAT and MTRRs of a vCPU; None if QEMU does not tell. Otherwise as `read_pkru`."""
    stream = _saved(qmp, announce)
    return None if stream is None else parse_memory_types(stream, cpu)


def _saved(qmp: Qmp, announce: Callable[[str], None]) -> bytes | None:
    """Return what QEMU saves of its devices and vCPUs, None if it cannot."""
    # Only migration looks first whether every device can be saved; QEMU 7.2 dies of
    # xen-save-devices-state where one cannot, such as an NVMe disk.
    state = qmp.command("query-migrate")
    if not isinstance(state, dict) or state.get("blocked-reasons"):
        return None
    for folder in folders(_LONGEST):
        try:
            with scratch(folder, announce) as file:
                qmp.command("xen-save-devices-state", filename=file.path, live=False)
                return os.pread(file.file, _LONGEST, 0)
        except PtliveError:
            continue
    return None


def parse_pkru(stream: bytes, vcpu: int) -> int | None:
    """Find PKRU of a vCPU, from 1, in the saved state; None unless it is there just once.

    The guest's own data (vector registers, buffers of devices) may look like anything.
    """
    section = _section(stream, vcpu)
    if section is None:
        return None
    values = re.findall(_PKRU, section, re.DOTALL)
    if len(values) > 1:
        return None
    return int(struct.unpack(">I", values[0])[0]) if values else 0


def parse_memory_types(stream: bytes, cpu: CpuState) -> SavedTypes | None:
    """Find PAT and MTRRs of a vCPU in the saved state, by the registers beside them.

    None unless CR0, CR2, CR3, CR4 and EFER stand in one place as they are known to be:
    another version of QEMU may save other fields between.
    """
    section = _section(stream, cpu.vcpu)
    if section is None:
        return None
    begin = struct.pack(">4Q", cpu.cr0, cpu.cr2, cpu.cr3, cpu.cr4)
    places = [found.start() for found in re.finditer(re.escape(begin), section)]
    if len(places) != 1 or places[0] + _FIELDS.size > len(section):
        return None
    efer, pat, *mtrrs = _FIELDS.unpack_from(section, places[0])[4:]
    if efer != cpu.efer or any(pat >> shift & 0xFF not in _PAT for shift in range(0, 64, 8)):
        return None
    variable = mtrrs[12:]
    pairs = tuple(zip(variable[::2], variable[1::2], strict=True))
    return SavedTypes(pat, mtrrs[11], tuple(mtrrs[:11]), pairs)


def _section(stream: bytes, vcpu: int) -> bytes | None:
    """Return what is saved of a vCPU, from 1; None unless that is there just once."""
    if not stream.startswith(_MAGIC):
        return None
    found = []
    for section in re.finditer(_SECTION, stream, re.DOTALL):
        number, instance = section[1], struct.unpack(">I", section[2])[0]
        end = stream.find(_FOOTER + number, section.end())
        if instance == vcpu - 1 and end >= 0:
            found.append(stream[section.end() : end])
    return found[0] if len(found) == 1 else None
