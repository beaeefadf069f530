"""CR3, and the control bits without which the tables protect less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.analysis.audit.finding import Place, Seen, Severity, Skipped
from ptlive.paging.control import CR0, CR3_LAM_U48, CR3_LAM_U57, CR4, EFER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ptlive.analysis.audit.context import Context, Registers

PWT, PCD = 1 << 3, 1 << 4
_LOW = (1 << 12) - 1
_LAM = CR3_LAM_U48 | CR3_LAM_U57


def cr3(context: Context) -> Iterator[Seen | Skipped]:
    """See bits of CR3 that are reserved, or unexpected (SDM vol. 3A 2.5, tables 4-12, 4-13)."""
    for cpu in _paging(context):
        evidence = {"vcpu": str(cpu.vcpu), "cr3": hex(cpu.cr3), "cr4": hex(cpu.cr4)}
        for bits, what, severity in _unexpected(cpu):
            if bits:
                told = {**evidence, "bits": hex(bits)}
                yield Seen(what, None, (Place(()),), 1, severity, evidence=told)


def _unexpected(cpu: Registers) -> Iterator[tuple[int, str, Severity | None]]:
    """Yield bits of CR3, what it means that they are set, and how bad that is."""
    if cpu.maxphyaddr is not None:
        beyond = cpu.cr3 >> cpu.maxphyaddr << cpu.maxphyaddr & ~_LAM
        yield beyond, "CR3 has bits beyond the physical addresses of the CPU", None
    yield cpu.cr3 & _LAM, "user mode's addresses may carry metadata (LAM)", Severity.INFO
    if not cpu.cr4 & CR4.PCIDE:
        uncached = "CR3 makes accesses to the root table uncached or write-through"
        yield cpu.cr3 & (PWT | PCD), uncached, None
        ignored = "CR3 has a PCID, or other ignored bits, while CR4.PCIDE is clear"
        yield cpu.cr3 & _LOW & ~(PWT | PCD), ignored, None


def write_protect(context: Context) -> Iterator[Seen | Skipped]:
    """See that the kernel may write to read-only pages."""
    yield from _missing(
        context,
        lambda cpu: bool(cpu.cr0 & CR0.WP),
        "CR0.WP is clear: the kernel may write "
        "to read-only pages, and what the tables say of its writes does not hold",
        "cr0",
    )


def no_execute(context: Context) -> Iterator[Seen | Skipped]:
    """See that no page can be made not executable."""
    yield from _missing(
        context,
        lambda cpu: bool(cpu.efer & EFER.NXE),
        "EFER.NXE is clear: all that can be read can be executed",
        "efer",
    )


def smep(context: Context) -> Iterator[Seen | Skipped]:
    """See that the kernel may execute user pages, on a CPU that could forbid it."""
    yield from _unused(context, CR4.SMEP, "smep", "the kernel may execute user pages")


def smap(context: Context) -> Iterator[Seen | Skipped]:
    """See that the kernel may read and write user pages, on a CPU that could forbid it."""
    yield from _unused(context, CR4.SMAP, "smap", "the kernel may read and write user pages")


def _unused(context: Context, bit: CR4, name: str, means: str) -> Iterator[Seen | Skipped]:
    has = {getattr(cpu, name) for cpu in context.registers}
    if has == {False}:
        yield Skipped(f"the CPU has no {name.upper()}")
        return
    unknown = "" if None not in has else "; whether the CPU has it is not known"
    what = f"CR4.{name.upper()} is clear: {means}{unknown}"
    yield from _missing(context, lambda cpu: bool(cpu.cr4 & bit), what, "cr4")


def _missing(
    context: Context, is_set: Callable[[Registers], bool], what: str, register: str
) -> Iterator[Seen]:
    without = [cpu for cpu in _paging(context) if not is_set(cpu)]
    if without:
        evidence = {
            "vcpu": " ".join(str(cpu.vcpu) for cpu in without),
            register: " ".join(dict.fromkeys(hex(getattr(cpu, register)) for cpu in without)),
        }
        yield Seen(what, places=(Place(()),), count=len(without), evidence=evidence)


def _paging(context: Context) -> list[Registers]:
    """Return the vCPUs that page: one that was never started has nothing to be judged by."""
    return [cpu for cpu in context.registers if cpu.cr0 & CR0.PG]
