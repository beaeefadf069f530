"""What CPU KVM gives a guest on this computer, as far as paging asks.

KVM may offer less than the CPU has: with shadow paging there are no 1G pages. So it is
asked itself, by KVM_GET_SUPPORTED_CPUID (Linux Documentation/virt/kvm/api.rst 4.44).
"""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass

from ptlive.errors import PtliveError

_GET_SUPPORTED_CPUID = 0xC008AE05
_ENTRIES = 256
# struct kvm_cpuid_entry2: function, index, flags, eax, ebx, ecx, edx, padding.
_ENTRY = struct.Struct("<10I")


@dataclass(frozen=True)
class KvmCpu:
    """The CPU that KVM offers; flags: names of features, as Linux lists them."""

    maxphyaddr: int
    flags: frozenset[str]


# Leaf, which register (eax is 0), bit: SDM vol. 2A, CPUID.
_FLAGS = {
    "smep": (7, 1, 7),
    "smap": (7, 1, 20),
    "pku": (7, 2, 3),
    "la57": (7, 2, 16),
    "pdpe1gb": (0x80000001, 3, 26),
}


def kvm_cpu() -> KvmCpu:
    """Ask KVM. Raises PtliveError if it does not answer."""
    asked = bytearray(8 + _ENTRIES * _ENTRY.size)
    struct.pack_into("<I", asked, 0, _ENTRIES)
    try:
        kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(kvm, _GET_SUPPORTED_CPUID, asked)
        finally:
            os.close(kvm)
    except OSError as error:
        raise PtliveError(f"KVM does not say which CPU it offers: {error.strerror}") from error
    return decode(bytes(asked))


def decode(answer: bytes) -> KvmCpu:
    """Read a struct kvm_cpuid2. Raises PtliveError if it has no address width."""
    (count,) = struct.unpack_from("<I", answer)
    registers = {}
    for at in range(min(count, _ENTRIES)):
        leaf, index, _, *values = _ENTRY.unpack_from(answer, 8 + at * _ENTRY.size)
        if index == 0:
            registers[leaf] = values[:4]
    bits = registers.get(0x80000008, [0])[0] & 0xFF
    if not bits:
        raise PtliveError("KVM does not say how wide physical addresses are: it is not asked")
    zeros = [0, 0, 0, 0]
    flags = {
        name
        for name, (leaf, register, bit) in _FLAGS.items()
        if registers.get(leaf, zeros)[register] >> bit & 1
    }
    return KvmCpu(bits, frozenset(flags))
