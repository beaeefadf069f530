"""Whether an access is allowed, and the exact fault if not: sections 4.6, 4.7 and 4.8.

Choices where the manual leaves the answer open:
- An access with any non-canonical byte is #GP(0), before paging is asked about any of its bytes.
  A stack reference gets #SS(0) instead; it is not modelled.
- The last byte of the address space is followed by address 0.
- Of two pages that one access straddles, the first in address order that faults decides alone;
  CR2 is then the first byte of the access on that page.
- A and D flags are told for an access that succeeds. Which A flags a faulting access leaves set
  differs between processors (6.15, #PF, a note: "model specific and not architecturally
  defined").
"""

from .bits import A, D, field
from .terms import Access, Machine, Outcome, ReadQword, Walk
from .walk import canonical, translate

_ENTRY = {5: "PML5E", 4: "PML4E", 3: "PDPTE", 2: "PDE", 1: "PTE"}


def access(machine: Machine, read_qword: ReadQword, cr3: int, va: int, asked: Access) -> Outcome:
    """Judge one access of `asked.length` bytes at a linear address, canonical or not."""
    every_byte = [(va + offset) % (1 << 64) for offset in range(asked.length)]

    # Vol. 1, 3.3.7.1: "If a linear-memory reference is not in canonical form, the implementation
    # should generate an exception. In most cases, a general-protection exception (#GP) is
    # generated." Its error code is 0, as no selector is involved (6.15, #GP), and only page
    # faults load CR2.
    for byte in every_byte:
        if not canonical(machine, byte):
            return Outcome(None, None, 13, 0, None, None, f"{byte:#x} is not canonical")

    first = _on_one_page(machine, read_qword, cr3, va, asked)
    second_page = every_byte[-1] & ~0xFFF
    if first.pa is None or second_page == va & ~0xFFF:
        return first
    second = _on_one_page(machine, read_qword, cr3, second_page, asked)
    if second.pa is None:
        return second
    return Outcome(
        first.pa,
        first.page_size,
        None,
        None,
        None,
        None,
        first.reason,
        accessed=tuple(dict.fromkeys(first.accessed + second.accessed)),
        dirty=tuple(dict.fromkeys(first.dirty + second.dirty)),
    )


def _on_one_page(
    machine: Machine, read_qword: ReadQword, cr3: int, va: int, asked: Access
) -> Outcome:
    return judge(machine, translate(machine, read_qword, cr3, va), va, asked)


def judge(machine: Machine, walk: Walk, va: int, asked: Access) -> Outcome:
    """Judge an access to one page, by the translation of its first byte."""
    level = walk.path[-1].level if walk.path else None
    entry = _ENTRY[level] if level else "CR3"

    if walk.kind == "unreadable":
        return Outcome(
            None, None, None, None, None, level, f"the table that {entry} references is no memory"
        )
    if walk.kind == "absent":
        code = _error_code(machine, asked, present=False, reserved=False, key=False)
        return Outcome(None, None, 14, code, va, level, f"P = 0 in the {entry}")
    if walk.kind == "malformed":
        code = _error_code(machine, asked, present=True, reserved=True, key=False)
        reason = f"reserved bits {walk.reserved:#x} in the {entry}"
        return Outcome(None, None, 14, code, va, level, reason)

    denial = _user_mode(machine, walk, asked) if asked.user else _supervisor(machine, walk, asked)
    if denial is not None:
        key = _key_forbids(machine, walk, asked)
        code = _error_code(machine, asked, present=True, reserved=False, key=key)
        return Outcome(None, None, 14, code, va, None, denial)

    # 4.8: "Whenever the processor uses a paging-structure entry as part of linear-address
    # translation, it sets the accessed flag in that entry (if it is not already set). Whenever
    # there is a write to a linear address, the processor sets the dirty flag (if it is not
    # already set) in the paging-structure entry that identifies the final physical address
    # for the linear address (either a PTE or a paging-structure entry in which the PS flag is 1)."
    accessed = [step.entry_pa for step in walk.path if not step.entry & A]
    dirty = []
    if asked.kind == "write" and not walk.path[-1].entry & D:
        dirty.append(walk.path[-1].entry_pa)
    return Outcome(
        walk.pa,
        walk.page_size,
        None,
        None,
        None,
        None,
        "allowed",
        # An entry that references its own table is used more than once, but set once.
        accessed=tuple(dict.fromkeys(accessed)),
        dirty=tuple(dirty),
    )


# 4.6.1, "For supervisor-mode accesses": why not, or None if allowed. All are explicit accesses.
def _supervisor(machine: Machine, walk: Walk, asked: Access) -> str | None:
    # "Data may be read (implicitly or explicitly) from any supervisor-mode address."
    if asked.kind == "read" and not walk.user:
        return None

    # "Data reads from user-mode pages": with CR4.SMAP = 1 only if EFLAGS.AC = 1, and "with a
    # protection key for which read access is permitted".
    if asked.kind == "read":
        if machine.smap and not asked.ac:
            return "SMAP: supervisor read of a user-mode address with EFLAGS.AC = 0"
        return _key_denial(machine, walk, asked)

    # "Data writes to supervisor-mode addresses": if CR0.WP = 0 "to any supervisor-mode address";
    # if CR0.WP = 1 only with R/W = 1 "in every paging-structure entry".
    if asked.kind == "write" and not walk.user:
        if machine.wp and not walk.write:
            return f"R/W = 0 at level {walk.write_denied_by} with CR0.WP = 1"
        return None

    # "Data writes to user-mode addresses": CR4.SMAP as for reads, whatever CR0.WP is; R/W only if
    # CR0.WP = 1; and "with a protection key for which write access is permitted".
    if asked.kind == "write":
        if machine.smap and not asked.ac:
            return "SMAP: supervisor write to a user-mode address with EFLAGS.AC = 0"
        if machine.wp and not walk.write:
            return f"R/W = 0 at level {walk.write_denied_by} with CR0.WP = 1"
        return _key_denial(machine, walk, asked)

    # "Instruction fetches from supervisor-mode addresses": with IA32_EFER.NXE = 1 only if XD = 0
    # "in every paging-structure entry". With NXE = 0 a set XD was a reserved bit already.
    if not walk.user:
        return None if walk.execute else f"XD = 1 at level {walk.execute_denied_by}"

    # "Instruction fetches from user-mode addresses": never with CR4.SMEP = 1, else by XD.
    if machine.smep:
        return "SMEP: supervisor fetch from a user-mode address"
    return None if walk.execute else f"XD = 1 at level {walk.execute_denied_by}"


# 4.6.1, "For user-mode accesses": why not, or None if allowed.
def _user_mode(machine: Machine, walk: Walk, asked: Access) -> str | None:
    # "Data may not be read from any supervisor-mode address", "not be written to any", and
    # "instructions may not be fetched from any".
    if not walk.user:
        return f"U/S = 0 at level {walk.user_denied_by}"

    # "Data may be read from any user-mode address with a protection key for which read access is
    # permitted."
    if asked.kind == "read":
        return _key_denial(machine, walk, asked)

    # "Data may be written to any user-mode address with a translation for which the R/W flag is 1
    # in every paging-structure entry ... and with a protection key for which write access is
    # permitted", whatever CR0.WP is.
    if asked.kind == "write":
        if not walk.write:
            return f"R/W = 0 at level {walk.write_denied_by}"
        return _key_denial(machine, walk, asked)

    # "Instructions may be fetched from any user-mode address with a translation for which the XD
    # flag is 0 in every paging-structure entry." Keys do "not in any way affect" fetches (4.6.2).
    return None if walk.execute else f"XD = 1 at level {walk.execute_denied_by}"


def _key_denial(machine: Machine, walk: Walk, asked: Access) -> str | None:
    if _key_forbids(machine, walk, asked):
        return f"PKRU forbids it for protection key {walk.protection_key}"
    return None


# 4.6.2, and in the same words 4.7 for the PK flag: ADi is bit 2i of PKRU, WDi is bit 2i+1.
def _key_forbids(machine: Machine, walk: Walk, asked: Access) -> bool:
    if walk.protection_key is None:  # CR4.PKE = 0: no linear address has a key
        return False
    if asked.kind == "fetch":  # "controls only data accesses to the address"
        return False
    if not walk.user:  # "The protection key of a supervisor-mode address is ignored"
        return False
    ad = 2 * walk.protection_key
    wd = 2 * walk.protection_key + 1
    access_disable = field(machine.pkru, ad, ad)
    write_disable = field(machine.pkru, wd, wd)
    if access_disable:  # "If ADi = 1, no data accesses are permitted"
        return True
    # If WDi = 1: "User-mode write accesses are not permitted. Supervisor-mode write accesses are
    # not permitted if CR0.WP = 1."
    return bool(write_disable) and asked.kind == "write" and (asked.user or machine.wp)


# 4.7, figure 4-12.
def _error_code(
    machine: Machine, asked: Access, *, present: bool, reserved: bool, key: bool
) -> int:
    code = 0
    # P (bit 0): "0 if there is no translation for the linear address because the P flag was 0 in
    # one of the paging-structure entries used to translate that address."
    if present:
        code |= 1 << 0
    # W/R (bit 1): "If the access causing the page-fault exception was a write, this flag is 1."
    if asked.kind == "write":
        code |= 1 << 1
    # U/S (bit 2): "If a user-mode access caused the page-fault exception, this flag is 1." Like
    # W/R it describes the access, not the access rights.
    if asked.user:
        code |= 1 << 2
    # RSVD (bit 3): "1 if there is no translation for the linear address because a reserved bit was
    # set"; it "can be set only if bit 0 is also set".
    if reserved:
        code |= 1 << 3
    # I/D (bit 4): 1 if the access was an instruction fetch, and either CR4.SMEP = 1, or CR4.PAE =
    # 1 (always with 4-level and 5-level paging) and IA32_EFER.NXE = 1. Like W/R it describes the
    # access: it is set with P = 0 and with RSVD too.
    if asked.kind == "fetch" and (machine.smep or machine.nxe):
        code |= 1 << 4
    # PK (bit 5): 1 if CR4.PKE = 1, the access was a data access to a user-mode address with
    # protection key i, and PKRU forbids it by the words of 4.6.2. Nothing is said of other rights,
    # so it is 1 also where one of those is missing too. An address without translation has
    # neither mode nor key.
    if key:
        code |= 1 << 5
    return code
