"""PKRU of a stopped guest, which no debugger's interface of QEMU has, from its saved state.

`xen-save-devices-state` (migration/savevm.c) writes the state of all devices and vCPUs, and
no RAM, in a millisecond. It works without Xen, and with `live` false it changes neither the
run state nor the disks, unlike a migration.
"""

from __future__ import annotations

import os
import re
import struct
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.memory.scratch import folders, scratch

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.wire.qmp import Qmp

# docs/devel/migration.rst, "Stream structure". A section: its kind (4: full), number, name,
# instance (the vCPU, from 0) and version; then its fields and subsections; then a footer.
_MAGIC = b"QEVM"
_SECTION = b"\x04(....)\x03cpu(....)(....)"
_FOOTER = b"\x7e"
# target/i386/machine.c, vmstate_pkru: there only if PKRU is not 0.
_PKRU = b"\x05\x08cpu/pkru\x00\x00\x00\x01(....)"
# Without RAM it has some 10 KB per device.
_LONGEST = 64 << 20


def read_pkru(qmp: Qmp, vcpu: int, announce: Callable[[str], None]) -> int | None:
    """Return PKRU of a vCPU, from 1; None if QEMU does not tell.

    The guest must be stopped; it stays as it is. announce: see `scratch`.
    """
    # Only migration looks first whether every device can be saved; QEMU 7.2 dies of
    # xen-save-devices-state where one cannot, such as an NVMe disk.
    state = qmp.command("query-migrate")
    if not isinstance(state, dict) or state.get("blocked-reasons"):
        return None
    for folder in folders(_LONGEST):
        try:
            with scratch(folder, announce) as file:
                qmp.command("xen-save-devices-state", filename=file.path, live=False)
                return parse_pkru(os.pread(file.file, _LONGEST, 0), vcpu)
        except PtliveError:
            continue
    return None


def parse_pkru(stream: bytes, vcpu: int) -> int | None:
    """Find PKRU of a vCPU, from 1, in the saved state; None unless it is there just once.

    The guest's own data (vector registers, buffers of devices) may look like anything.
    """
    if not stream.startswith(_MAGIC):
        return None
    found = []
    for section in re.finditer(_SECTION, stream, re.DOTALL):
        number, instance = section[1], struct.unpack(">I", section[2])[0]
        end = stream.find(_FOOTER + number, section.end())
        if instance == vcpu - 1 and end >= 0:
            found.append(stream[section.end() : end])
    if len(found) != 1:
        return None
    values = re.findall(_PKRU, found[0], re.DOTALL)
    if len(values) > 1:
        return None
    return int(struct.unpack(">I", values[0])[0]) if values else 0
