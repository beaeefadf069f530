"""Why an access faulted that the tables allow now: what is possible, and what is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.paging.access import Controls, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.access_kind import AccessKind
    from ptlive.analysis.explain.fate import Fate


@dataclass(frozen=True)
class Surroundings:
    """What decides besides the tables.

    accelerator: "TCG", "KVM, unknown", ...; vcpus: how many there are
    just_now: whether the vCPU stands where the fault brought it, so that it has executed
        nothing since
    ac: RFLAGS.AC at the fault, None if it is not known; cpl: likewise
    other_root: whether the tables are those of another root than CR3 has now
    not_modelled: by name, such as CET
    """

    accelerator: str
    vcpus: int
    just_now: bool
    ac: bool | None = None
    cpl: int | None = None
    other_root: bool = False
    not_modelled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cause:
    """A cause: whether it is possible, None if that cannot be known, and why."""

    name: str
    possible: bool | None
    why: str


def causes(
    error_code: int, kind: AccessKind, now: Fate, controls: Controls, around: Surroundings
) -> Iterator[Cause]:
    """Yield the causes of a fault whose access is allowed now, those that may be first."""
    found = [
        _changed(around),
        _stale(error_code, around),
        *_key(error_code, kind, controls),
        *_smap(error_code, kind, controls, around),
        *_special(error_code, around),
        _elsewhere(around),
    ]
    order = {True: 0, None: 1, False: 2}
    yield from sorted(found, key=lambda one: order[one.possible])


def _changed(around: Surroundings) -> Cause:
    name = "the entry was changed since"
    if not around.just_now:
        return Cause(name, True, "the vCPU has executed since then: its handler may have done it")
    if around.vcpus > 1:
        return Cause(name, True, f"another of the {around.vcpus} vCPUs may have done it")
    why = "this vCPU is the only one and has executed nothing since; a device or a debugger"
    return Cause(name, None, f"{why} would have had to do it")


def _stale(error_code: int, around: Surroundings) -> Cause:
    name = "a stale TLB entry (a spurious fault)"
    if error_code & Fault.RSVD or not error_code & Fault.P:
        what = "a reserved bit" if error_code & Fault.RSVD else "P=0"
        # SDM vol. 3A 4.10.2.3: only translations by present, well-formed entries are cached.
        return Cause(name, False, f"the error code says {what}, and no TLB keeps such an entry")
    if around.accelerator == "TCG":
        # QEMU accel/tcg/cputlb.c: a miss, and a hit without the right, walk the tables again.
        return Cause(name, False, "TCG walks the tables again before it faults")
    why = "rights were added and the TLB not yet flushed, which Linux, too, does on purpose"
    return Cause(name, True, f"{why} (SDM vol. 3A 4.10.4.3)")


def _key(error_code: int, kind: AccessKind, controls: Controls) -> Iterator[Cause]:
    name = "a protection key"
    if error_code & Fault.PK:
        yield Cause(name, True, "the error code says so (PK=1): PKRU was another one")
    elif controls.pke and controls.pkru is None:
        yield Cause(name, False, "the error code would say so (PK=1)")


def _smap(
    error_code: int, kind: AccessKind, controls: Controls, around: Surroundings
) -> Iterator[Cause]:
    if kind.user or not controls.smap or error_code & Fault.ID:
        return
    name = "SMAP"
    if not error_code & Fault.P:
        yield Cause(name, False, "the error code says P=0")
    elif around.ac is None:
        yield Cause(name, None, "RFLAGS.AC at the fault is not known")
    else:
        yield Cause(name, False, f"RFLAGS.AC was {int(around.ac)}, which is taken into account")


def _special(error_code: int, around: Surroundings) -> Iterator[Cause]:
    named = {
        Fault.SS: ("a shadow-stack access", "SS=1; those are not modelled"),
        Fault.HLAT: ("hypervisor-managed translation", "HLAT=1; it is not modelled"),
        Fault.SGX: ("SGX", "SGX=1: its own access control, beside the tables"),
    }
    for bit, (name, why) in named.items():
        if error_code & bit:
            yield Cause(name, True, f"the error code says {why}")
    for name in around.not_modelled:
        yield Cause(name, None, "it is on, and not modelled")


def _elsewhere(around: Surroundings) -> Cause:
    name = "another root was in use"
    if around.other_root:
        return Cause(name, None, "CR3 has another root by now, and this one was concluded")
    if around.just_now:
        return Cause(name, False, "an exception does not change CR3, and nothing ran since")
    return Cause(name, True, "CR3 may have been written since then")
