"""What is forked: the guest's RAM and what decides how its vCPU pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptlive.errors import PtliveError
from ptlive.target.machine import QEMU

if TYPE_CHECKING:
    from ptlive.arrays import U64, Bool
    from ptlive.memory.open_file import OpenFile

FRAME = 1 << 12
FOUR_GB = 1 << 32
ENTRIES = 512

# SDM vol. 3A 2.5 (control registers), 2.2.1 (EFER).
CR0_PG = 1 << 31
CR0_WP = 1 << 16
CR4_PAE, CR4_PGE, CR4_LA57 = 1 << 5, 1 << 7, 1 << 12
CR4_SMEP, CR4_SMAP, CR4_PKE = 1 << 20, 1 << 21, 1 << 22
EFER_LMA, EFER_NXE = 1 << 10, 1 << 11
# Each changes what an access may do or where its address leads.
NOT_MODELLED = {23: "CET", 24: "PKS", 27: "LASS", 28: "LAM", 32: "FRED"}
CR3_LAM = 3 << 61
CR3_ADDRESS = (1 << 52) - FRAME


@dataclass(frozen=True, kw_only=True)
class Control:
    """The registers that decide how a vCPU pages, with the guest's raw values.

    Raises PtliveError for a mode that the prober cannot take on.
    """

    cr0: int
    cr4: int
    efer: int
    pkru: int = 0

    def __post_init__(self) -> None:
        if not (self.cr0 & CR0_PG and self.cr4 & CR4_PAE and self.efer & EFER_LMA):
            raise PtliveError("the twin answers for 64-bit paging only, and the vCPU is not in it")
        for bit, name in NOT_MODELLED.items():
            if self.cr4 >> bit & 1:
                raise PtliveError(f"the twin does not model {name}, and the guest has it in CR4")

    @property
    def levels(self) -> int:
        """How many levels of tables there are."""
        return 5 if self.cr4 & CR4_LA57 else 4


@dataclass(frozen=True, kw_only=True)
class Fork:
    """A stopped guest, as plain data.

    ram: path of a file with the guest's RAM, or the open file, `size` bytes, of which `low_ram` lie
        below 4 GB and the rest from 4 GB on
    root: the value of CR3; control: the other registers that matter
    machine, cpu: as for QEMU's -machine and -cpu, the guest's own
    accel: "tcg" or "kvm", which is asked; qemu: which program is the twin's
    words: 8-byte words of RAM that are others in the twin: addresses and values, uint64[n] each

    The guest must stay stopped while it is forked: pages that the twin has not
    touched are still the guest's. Raises PtliveError for what cannot be forked.
    """

    ram: str | OpenFile
    size: int
    low_ram: int
    root: int
    control: Control
    machine: str = "pc"
    cpu: str = "max"
    accel: str = "tcg"
    qemu: str = QEMU
    words: tuple[U64, U64] | None = None

    def __post_init__(self) -> None:
        if self.accel not in ("tcg", "kvm"):
            raise PtliveError(f"no accelerator '{self.accel}': there are tcg and kvm")
        if self.root & CR3_LAM:
            raise PtliveError("the twin does not model LAM, and the guest has it in CR3")
        if not 0 < self.low_ram <= min(self.size, FOUR_GB):
            raise PtliveError("of a guest's RAM, some lies below 4 GB, and at most all of it")
        if not self.in_ram(np.array([self.root_frame], dtype=np.uint64))[0]:
            raise PtliveError(
                f"the root table at {self.root_frame:#x} lies outside the guest's RAM"
            )

    @property
    def root_frame(self) -> int:
        """The physical address of the root table."""
        return self.root & CR3_ADDRESS

    @property
    def end(self) -> int:
        """The physical address after the last byte of RAM, 4 GB at least."""
        return FOUR_GB + self.size - self.low_ram

    def in_ram(self, addresses: U64) -> Bool:
        """Tell which physical addresses lie in the guest's RAM."""
        low = addresses < np.uint64(self.low_ram)
        return low | ((addresses >= np.uint64(FOUR_GB)) & (addresses < np.uint64(self.end)))

    def offset(self, address: int) -> int:
        """Return where a physical address of RAM lies in the file."""
        return address if address < self.low_ram else address - FOUR_GB + self.low_ram
