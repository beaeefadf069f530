"""The guest's memory read out of QEMU's own, where the kernel permits it.

Linux lets a process read another one that it may trace (process_vm_readv(2)): many pieces
in one call, which for scattered frames is twice as fast as reading /proc/PID/mem.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.memory.host import FRAME
from ptlive.memory.layered import Layered
from ptlive.memory.open_file import OpenFile
from ptlive.memory.ram_map import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.arrays import U8, U64, Bool, Index, Memory
    from ptlive.memory.host import Host

# limits.h, IOV_MAX: so many pieces one call takes.
_MOST = 1024
# How many frames are compared before it is trusted.
_SAMPLES = 8

_libc = ctypes.CDLL(None, use_errno=True)
_libc.process_vm_readv.restype = ctypes.c_ssize_t
_libc.process_vm_readv.argtypes = (
    *(ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong),
    ctypes.c_ulong,
)


class ProcMemory:
    """Reads a process in which stretches of physical memory lie.

    stretches: (first, last, host address), ascending. Raises PtliveError when the process
    is not there, may not be read, or is not mapped there.
    """

    def __init__(self, pid: int, stretches: Sequence[tuple[int, int, int]]) -> None:
        self._pid = pid
        table = np.array(stretches, dtype=np.uint64).reshape(-1, 3)
        self._firsts, self._lasts, self._hosts = (table[:, column].copy() for column in range(3))
        try:
            # As long as this process lives its number means no other.
            self._process = OpenFile(os.pidfd_open(pid))
        except OSError as error:
            raise PtliveError(f"QEMU's process {pid} is gone") from error

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        """See `ptlive.arrays.Memory.read`; a row must lie in one stretch."""
        at: Index = np.searchsorted(self._firsts, addresses, side="right") - 1
        at = np.maximum(at, 0)
        last = addresses + np.uint64(max(length, 1) - 1)
        valid: Bool = (addresses >= self._firsts[at]) & (last <= self._lasts[at])
        valid &= last >= addresses
        data = np.empty((len(addresses), length), np.uint8)
        if length == 0 or not valid.any():
            data[:] = 0
            return data, valid
        if valid.all():
            self._fill(data, addresses - self._firsts[at] + self._hosts[at])
            return data, valid
        rows = np.empty((int(valid.sum()), length), np.uint8)
        self._fill(rows, (addresses - self._firsts[at] + self._hosts[at])[valid])
        data[valid], data[~valid] = rows, 0
        return data, valid

    def _fill(self, rows: U8, addresses: U64) -> None:
        """Read one row from each of QEMU's addresses."""
        length = rows.shape[1]
        # Arrays of struct iovec: an address and a length.
        remote = np.empty((len(rows), 2), np.uint64)
        remote[:, 0], remote[:, 1] = addresses, length
        for first in range(0, len(rows), _MOST):
            count = min(_MOST, len(rows) - first)
            local = np.array([[rows.ctypes.data + first * length, count * length]], dtype=np.uint64)
            done = _libc.process_vm_readv(
                *(self._pid, local.ctypes.data, 1, remote[first:].ctypes.data, count, 0)
            )
            if done != count * length:
                raise PtliveError(self._why(ctypes.get_errno() if done < 0 else errno.EFAULT))
        try:
            signal.pidfd_send_signal(self._process.fileno(), 0)
        except ProcessLookupError:
            raise PtliveError(self._why(errno.ESRCH)) from None
        except PermissionError:
            pass  # it lives, and belongs to another user

    def _why(self, code: int) -> str:
        who = f"QEMU's process {self._pid}"
        return {
            errno.ESRCH: f"{who} has ended",
            errno.EPERM: f"{who} may not be read by this user (ptrace is not permitted)",
            errno.EFAULT: f"process {self._pid} does not have the guest's memory",
            errno.ENOSYS: "this kernel has no process_vm_readv",
        }.get(code, f"{who} cannot be read: {os.strerror(code)}")


def open_process(host: Host) -> Memory:
    """Read QEMU's process; `host.memory` reads what is not found there.

    Raises PtliveError with the reason why that cannot be.
    """
    if host.pid is None:
        raise PtliveError("QEMU's process is not known: it runs elsewhere, or as another user")
    regions = [r for r in host.ram_map.regions if r.kind in (Kind.RAM, Kind.ROM)]
    ends = host.addresses([end for region in regions for end in (region.first, region.last)])
    stretches: list[tuple[int, int, int]] = []
    placed = []
    for region, first, last in zip(regions, ends[::2], ends[1::2], strict=True):
        if first is None or last is None or last - first != region.last - region.first:
            continue
        placed.append(region)
        if stretches:
            before = stretches[-1]
            together = before[1] + 1 == region.first
            if together and first - region.first == before[2] - before[0]:
                stretches[-1] = (before[0], region.last, before[2])
                continue
        stretches.append((region.first, region.last, first))
    if not stretches:
        raise PtliveError("QEMU does not tell where the guest's memory lies in it (gpa2hva)")
    memory = ProcMemory(host.pid, stretches)
    if not host.alike(lambda frames: memory.read(frames, FRAME)[0], placed, _SAMPLES)[0]:
        raise PtliveError(f"process {host.pid} does not have the guest's memory")
    return Layered(memory, host.memory)
