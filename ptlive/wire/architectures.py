"""The architectures whose stubs we read: what tells them, and which registers page.

QEMU's `g` packet has the registers of a stub's first documents only (gdbstub.c,
gdb_register_coprocessor): those that say how an x86 pages are among them, those of others
are asked for one by one (`p`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Architecture(NamedTuple):
    """One architecture of guests.

    told_by: registers that its stub has, and no other's; pc: the one that says where it is
    apart: registers that are to be read beside those in `g`
    status: of a CPU that runs in either byte order, the register whose lowest bit is set
        while that is little-endian: so the stub sends all registers then
    cpu: how QEMU's types of its CPUs end; features: of these, what else matters to paging
    """

    name: str
    told_by: frozenset[str]
    pc: str
    apart: tuple[str, ...] = ()
    status: str | None = None
    cpu: str = ""
    features: tuple[str, ...] = ()

    def order(self, raw: Mapping[str, bytes]) -> Literal["little", "big"]:
        """Return in which byte order the stub sends these registers."""
        if self.status is None:
            return "little"
        # target/ppc/gdbstub.c, ppc_maybe_bswap_register. Read the wrong way round, this
        # bit would be one of the highest byte, whose lowest is reserved.
        return "little" if raw[self.status][0] & 1 else "big"


X86_64 = Architecture(
    "x86-64",
    frozenset({"rip", "eflags", "cs", "cr0", "cr3", "cr4", "efer"}),
    pc="rip",
)
RISCV64 = Architecture(
    "riscv64",
    frozenset({"pc", "satp", "mstatus"}),
    pc="pc",
    apart=("satp", "mstatus", "menvcfg", "priv"),
    cpu="-riscv-cpu",
    features=("svnapot", "svpbmt", "svadu", "svrsw60t59b"),
)
AARCH64 = Architecture(
    "aarch64",
    frozenset({"pc", "cpsr", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1"}),
    pc="pc",
    # QEMU's name for SCTLR_EL1 is AArch32's, with which it shares the register.
    apart=(
        *("TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "SCTLR", "SCTLR_EL1", "ID_AA64MMFR0_EL1"),
        *("MAIR_EL1", "HCR_EL2", "cpsr"),
    ),
)
PPC64 = Architecture(
    "ppc64",
    frozenset({"pc", "msr", "ptcr", "lpcr", "pid"}),
    pc="pc",
    apart=("ptcr", "lpcr", "lpidr", "pid", "amr", "iamr", "msr"),
    status="msr",
)

#: What the stub of qemu-system-i386 has, by the names of the registers that they are half of
#: (gdb-xml/i386-32bit.xml).
I386_NAMES = {
    f"e{name}": f"r{name}" for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "ip")
}

ARCHITECTURES = (X86_64, RISCV64, AARCH64, PPC64)


def architecture_of(registers: Collection[str]) -> Architecture:
    """Return the architecture that has these registers. Raises PtliveError if none has."""
    names = set(registers)
    for one in ARCHITECTURES:
        if one.told_by <= names:
            return one
    known = ", ".join(one.name for one in ARCHITECTURES)
    raise PtliveError(f"the stub describes the registers of no architecture we know: {known}")
