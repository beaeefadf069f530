"""How a POWER CPU pages with radix trees, and which accesses it allows.

Power ISA version 3.1, book III: 6.7.6 "In-Memory Tables" (partition and process tables),
6.7.11 "Radix Tree Translation", 6.7.12 "Process-Scoped Access Authority", 7.5.3 to 7.5.6 (the
storage and segment interrupts). The manual counts bits from the left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ptlive.access_kind import Access, AccessKind
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging import rights
from ptlive.paging.access import AccessRules, Verdicts, denied_by
from ptlive.paging.architectures.facts import Facts, Paging, Wanted, root_address
from ptlive.paging.faults import ALLOWED, UNPREDICTABLE
from ptlive.paging.format import Kind
from ptlive.paging.formats import power
from ptlive.paging.translate import NOT_TRANSLATED, translate

if TYPE_CHECKING:
    from ptlive.arrays import U32, Bool, Memory
    from ptlive.paging.translate import Translations

HOST_RADIX = 1 << 20  # LPCR bit 43
HYPERVISOR = 1 << 60  # MSR bit 3
RELOCATED = 3 << 4  # MSR bits 58 and 59: IR and DR
_TABLE = ((1 << 60) - 1) & ~0xFFF  # where the partition table and the process tables are
_TABLE_SIZE = 0x1F  # log2 of their bytes, less 12
_ENTRY = 16  # bytes of one of their entries
_RADIX = 1 << 63  # of a partition table entry: HR

# Of AMR and IAMR, the key that radix trees have: bits 0 and 1 (6.7.12.1).
NO_WRITE, NO_READ, NO_EXECUTE = 1 << 63, 1 << 62, 1 << 62

# Vectors, and bits of DSISR; those of SRR1 stand at the same places.
DATA, DATA_SEGMENT, FETCH, FETCH_SEGMENT = 0x300, 0x380, 0x400, 0x480
NO_ENTRY, GUARDED, PROTECTED, STORE, BAD_CONFIG = (1 << bit for bit in (30, 28, 27, 25, 19))
_SCALE = 4  # vectors are multiples of 16, and a byte holds them so
_WORDS = {
    DATA: "data storage interrupt",
    DATA_SEGMENT: "data segment interrupt",
    FETCH: "instruction storage interrupt",
    FETCH_SEGMENT: "instruction segment interrupt",
}
_BITS = {
    NO_ENTRY: "no translation",
    GUARDED: "no-execute or guarded",
    PROTECTED: "protection",
    STORE: "store",
    BAD_CONFIG: "unsupported configuration",
}
FORMATS = tuple(power.NAME + part for part in ("", "-user", "-kernel"))
_OUTSIDE = ~0xC00F_FFFF_FFFF_FFFF & ((1 << 64) - 1)


def paging(facts: Facts, wanted: Wanted) -> Paging:
    """Return what the process table says. Raises PtliveError where there is no radix tree."""
    state = facts.register("msr")
    if wanted.format not in (None, *FORMATS):
        names = ", ".join(FORMATS)
        raise PtliveError(f"there is no format {wanted.format!r}; there are {names}")
    amr, iamr = (facts.registers.get(name) or 0 for name in ("amr", "iamr"))
    rules = Rules(amr=amr, iamr=iamr)
    if wanted.root is not None and wanted.format in (None, "power-radix-user"):
        fmt = power.make(kernel=False)
        return Paging(fmt, (root_address(fmt, wanted.root),), "pid", rules, {})
    trees = _trees(facts)
    if wanted.format is not None:
        part = wanted.format.removeprefix(power.NAME).removeprefix("-")
        trees = {name: root for name, root in trees.items() if part in ("", name)}
    if wanted.root is not None and trees:
        trees[next(iter(trees))] = root_address(power.make(), wanted.root)
    if not trees:
        raise PtliveError("the process table has no radix tree for this process, nor for PID 0")
    fmt = power.make(user="user" in trees, kernel="kernel" in trees)
    origin = " ".join({"user": f"pid {facts.register('pid')}", "kernel": "pid 0"}[n] for n in trees)
    return Paging(fmt, tuple(trees.values()), origin, rules, _not_modelled(facts, state))


def _trees(facts: Facts) -> dict[str, int]:
    """Return the root of the process's tree, and of that of PID 0."""
    control, table = facts.register("lpcr"), facts.register("ptcr")
    if not control & HOST_RADIX:
        raise PtliveError(f"LPCR={control:#x} has no HR: this is no radix tree, but a hash table")
    if not table & _TABLE:
        raise PtliveError(
            "PTCR is 0: the tables that lead to a radix tree are not in memory, but known to the "
            "hypervisor alone (QEMU's pseries machine); --root tells where the tree is"
        )
    partition = facts.register("lpidr")
    first, second = _pair(facts.memory, table, partition, "partition")
    if not first & _RADIX:
        raise PtliveError(f"the partition table's entry {partition} is of no radix tree")
    # A process table stands where its partition's tree has it, that of the hypervisor, too.
    processes = _Processes(facts.memory, _root(first & ~_RADIX, "the partition"), second)
    trees = {}
    for name, pid in (("user", facts.register("pid")), ("kernel", 0)):
        entry = processes.entry(pid)
        if entry:
            trees[name] = _root(entry, f"PID {pid}")
    return trees


class _Processes(NamedTuple):
    """A process table: the tree that has its address, and which that is, with its size."""

    memory: Memory
    root: int
    table: int

    def entry(self, pid: int) -> int:
        """Return the first doubleword of a process's entry."""
        at = (self.table & _TABLE) + pid * _ENTRY
        found = translate(power.make(kernel=False), self.memory, u64(self.root), u64(at))
        if not found.mapped[0]:
            raise PtliveError(f"the process table at {at:#x} is not in its partition's tree")
        where = int(found.pa[0]) - pid * _ENTRY
        return _pair(self.memory, where | self.table & _TABLE_SIZE, pid, "process")[0]


def _pair(memory: Memory, table: int, index: int, what: str) -> tuple[int, int]:
    """Return the two doublewords of an entry of the partition table or a process table."""
    if index * _ENTRY >= 1 << (table & _TABLE_SIZE) + 12:
        raise PtliveError(f"the {what} table has no entry {index}")
    at = (table & _TABLE) + index * _ENTRY
    data, valid = memory.read(u64(at), _ENTRY)
    if not valid[0]:
        raise PtliveError(f"the {what} table at {table & _TABLE:#x} lies in no RAM")
    first, second = data[0].view(">u8").tolist()
    return int(first), int(second)


def _root(entry: int, whose: str) -> int:
    """Return where a tree is that an entry tells of. Raises PtliveError for another shape."""
    # RTS: the tree spans 2**(31 + RTS) bytes; RPDS: log2 of the root table's entries.
    span = 31 + (entry >> 61 & 3) * 8 + (entry >> 5 & 7)
    bits = entry & power.NEXT_SIZE
    if (span, bits) != (power.ADDRESS_BITS, power.WIDTHS[-1]):
        raise PtliveError(
            f"{whose} has a radix tree of {span} bits with a root table of 2**{bits} entries; "
            "POWER9 and POWER10 have 52 and 13"
        )
    return entry & power.NEXT_BASE


def _not_modelled(facts: Facts, state: int) -> dict[str, str]:
    """Name what is on and not modelled, and what that leaves unchecked."""
    found = {}
    if not state & RELOCATED:
        found["real mode"] = "the CPU is in it (MSR.IR=0, MSR.DR=0), and translates nothing now"
    if not state & HYPERVISOR and facts.register("lpidr"):
        found["partition scope"] = "what the tree says is translated again, by the partition's tree"
    return found


@dataclass(frozen=True)
class Rules(AccessRules):
    """What decides about accesses beside the tables: what keys let the kernel do to user pages."""

    amr: int = 0
    iamr: int = 0

    def check(self, translations: Translations, kind: AccessKind) -> Verdicts:
        """Predict the interrupt, and of DSISR or SRR1 the bits that say why."""
        found = translations.kind
        fetch = kind.access is Access.FETCH
        code = self._denied(translations, kind)
        code[~translations.mapped] = NO_ENTRY
        code[found == Kind.MALFORMED] = BAD_CONFIG
        storage = np.uint8((FETCH if fetch else DATA) >> _SCALE)
        vector = np.where(code != 0, storage, np.uint8(ALLOWED))
        if kind.access is Access.WRITE:
            code[code != 0] |= STORE
        outside = found == NOT_TRANSLATED
        # The other quadrants are a guest's, as its hypervisor reaches it.
        beyond = outside & ((translations.va & np.uint64(_OUTSIDE)) != 0)
        vector[(found == Kind.UNREADABLE) | outside] = UNPREDICTABLE
        vector[beyond] = (FETCH_SEGMENT if fetch else DATA_SEGMENT) >> _SCALE
        code[(vector == UNPREDICTABLE) | outside] = 0
        return Verdicts(vector, code)

    def _denied(self, translations: Translations, kind: AccessKind) -> U32:
        """Return the bits that forbid an access to what is mapped, 0 where it is allowed."""

        def granted(name: str) -> Bool:
            return rights.granted(translations.fmt, translations.rights, name)

        user = granted("user")
        keyed = user if not kind.user else np.zeros(user.size, dtype=np.bool_)
        if kind.access is Access.FETCH:
            denied = ~granted("execute") | (keyed & bool(self.iamr & NO_EXECUTE))
        elif kind.access is Access.WRITE:
            denied = ~granted("write") | (keyed & bool(self.amr & NO_WRITE))
        else:
            denied = ~granted("read") | (keyed & bool(self.amr & NO_READ))
        if kind.user:
            denied |= ~user
        if kind.access is Access.FETCH:
            kept = translations.entry & np.uint64(power.ATTRIBUTES)
            denied |= kept == np.uint64(power.NON_IDEMPOTENT)
        # SRR1 has one bit for all that is not to be executed (7.5.6), DSISR another.
        bit = GUARDED if kind.access is Access.FETCH else PROTECTED
        return np.where(denied, np.uint32(bit), np.uint32(0))

    def denied(self, one: Translations, kind: AccessKind, code: int) -> tuple[int | None, str]:
        """Return which level, or which register, denies an access to a present page."""
        kept = int(one.entry[0]) & power.ATTRIBUTES
        if kind.access is Access.FETCH and kept == power.NON_IDEMPOTENT:
            return int(one.lvl[0]), "nothing is executed in non-idempotent storage (ATT=2)"
        if kind.user and (said := denied_by(one, "user", "problem-state access is denied")):
            return said
        right, text, register = {
            Access.FETCH: ("execute", "execution is denied", "IAMR"),
            Access.WRITE: ("write", "writing is denied", "AMR"),
            Access.READ: ("read", "reading is denied", "AMR"),
        }[kind.access]
        said = denied_by(one, right, text)
        return said or (None, f"{register} keeps privileged state from pages of problem state")

    def words(self, vector: int, code: int) -> str:
        """Name the interrupt, and the bits that say why."""
        name = _WORDS.get(vector << _SCALE)
        if name is None:
            return super().words(vector, code)
        why = ", ".join(text for bit, text in _BITS.items() if code & bit)
        return f"{name} ({vector << _SCALE:#x}{f': {why}' if why else ''})"
